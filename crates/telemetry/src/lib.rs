//! How Steeple tells what it does: logs, metrics and health, in the forms that SPIRE's users have tools for.
//!
//! ```text
//!   tracing events ──► log::Layer ──► logrus text or JSON ──► stdout, or a file that SIGUSR2 reopens
//!                       ▲ log::Levels (Logger API: set, reset)
//!   metrics macros ──► metric::Metrics (prefix, labels, values) ──► GET <any path>, hooks run before each rendering
//!                                                                └► statsd, DogStatsD: a line for each event
//!   health::Checks ──► GET /live, GET /ready: 200 or 500 with JSON
//! ```

pub mod health;
mod http;
pub mod log;
pub mod metric;

pub use http::{HttpError, bind, serve};

/// SPIRE's `telemetry` keys that this crate cannot honour, each with what to do instead; for both programs.
pub const REFUSED_KEYS: &[(&str, &str)] =
    &[("telemetry.M3", "use Statsd, DogStatsd, or telemetry { Prometheus { port = 9988 } }, which M3 can scrape")];
