//! Metrics: the `metrics` facade in front, SPIRE's names in between, Prometheus text and statsd lines behind.

mod call;
mod endpoint;
mod filter;
mod naming;
mod places;
mod recorder;
mod rpc;
mod sending;
mod series;
mod sink;
mod tls;

pub use call::CallTimer;
pub use endpoint::router;
pub use filter::Filter;
pub use naming::{label_value, rpc_name};
pub use places::{StartError, install, prefix, start};
pub use recorder::{MetricSettings, Metrics, MetricsError};
pub use rpc::{CountCalls, CountedBody};
pub use sink::{Event, Flavor, Sink};
pub use tls::{MetricTlsError, OwnTls};
