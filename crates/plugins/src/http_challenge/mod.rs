//! `http_challenge`: an agent proves that it answers HTTP requests to a host name.
//!
//! ```text
//!   agent ── payload: host name, agent name, port ─────▶ server   allowed by the configuration?
//!   agent ◀─ challenge: nonce ────────────────────────── server
//!   agent ── response: a newline ──────────────────────▶ server
//!   agent ◀─ GET /.well-known/…/<agent name>/challenge ─ server   the nonce? id = the host name
//! ```
//!
//! Wire format and texts are SPIRE's.

mod agent;
mod nonce_server;
mod server;
mod wire;

pub use agent::{HttpChallengeAgent, HttpChallengeEndpoint};
pub use server::{HttpChallengeServer, HttpChallengeSettings, SettingsError};

pub(crate) const NAME: &str = "http_challenge";
