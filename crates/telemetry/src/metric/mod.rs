//! Metrics: the `metrics` facade in front, Prometheus text behind, SPIRE's names in between.

mod call;
mod endpoint;
mod naming;
mod recorder;
mod rpc;

pub use call::CallTimer;
pub use endpoint::router;
pub use naming::{label_value, rpc_name};
pub use recorder::{MetricSettings, Metrics, MetricsError};
pub use rpc::{CountCalls, CountedBody};
