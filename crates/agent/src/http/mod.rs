//! `grpc.health.v1.Health` on the public socket, and health and metrics over HTTP.

mod health;
mod listeners;

pub use health::{HealthService, check};
pub use listeners::serve;
