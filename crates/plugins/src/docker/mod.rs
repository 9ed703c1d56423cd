//! `docker`: labels, environment and image of a workload's container, as the Docker engine or Podman tells (SPIRE's
//! docker workload attestor).
//!
//! ```text
//!   pid ─ container::locate ─► container ID ──► Engine GET /containers/<id>/json ─► selectors
//!         or matchers             │                    ▲
//!                                 └─ podman: whose socket ┘
//! ```

mod attestor;
mod engine;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod inspect;
mod matchers;
mod podman;
mod settings;
#[cfg(test)]
mod tests;

pub use attestor::{DockerAttestor, DockerError};
pub use engine::EngineError;
pub use matchers::{Matchers, MatchersError};
pub use podman::{SocketTemplate, SocketTemplateError};
pub use settings::{DockerSettings, socket_path};
