//! `grpc.health.v1.Health` on the public socket, and what the HTTP health listener looks at.

mod health;

pub use health::{HealthService, check};
