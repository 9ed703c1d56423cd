//! Settings that servers and agents share.

mod address;
mod domain;
mod endpoint;
mod health;
mod log;
mod profiling;
mod read;
mod telemetry;

pub use address::{Cidr, HostPort};
pub use domain::domain_fault;
pub(crate) use domain::{acme_directory, check_domain};
pub(crate) use endpoint::check_endpoint;
pub use health::{HealthFile, HealthSettings};
pub use log::{LogFile, LogFormat, LogLevel, LogSettings};
pub use profiling::ProfilingSettings;
pub(crate) use read::{WIT_SVID, absolute, duration, feature_flags, given, lasting, present_duration, trust_domain};
pub use telemetry::{PrometheusSettings, PrometheusTls, SinkSettings, TelemetryFile, TelemetrySettings};
