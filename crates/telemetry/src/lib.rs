//! How Steeple tells what it does: logs, metrics and health, in the forms that SPIRE's users have tools for.
//!
//! ```text
//!   tracing events ──► log::Layer ──► logrus text or JSON ──► stdout, or a file that SIGUSR2 reopens
//!                       ▲ log::Levels (Logger API: set, reset)
//!   metrics macros ──► metric::Metrics (prefix, labels, values) ──► GET <any path>, hooks run before each rendering
//!                                                                ├► statsd, DogStatsD: a line for each event
//!                                                                └► M3: the sums of each second
//!   health::Checks ──► GET /live, GET /ready: 200 or 500 with JSON
//! ```

pub mod health;
mod http;
pub mod log;
pub mod metric;

pub use http::{HttpError, bind, bind_health, serve};
