//! Metrics: the `metrics` facade in front, SPIRE's names in between, and behind it Prometheus text, statsd lines and
//! M3's batches.

mod ages;
mod call;
mod endpoint;
mod filter;
mod help;
mod m3;
mod naming;
mod places;
mod recorder;
mod rpc;
mod sending;
mod series;
mod sink;
mod statsd;
mod table;
mod tally;
mod tls;
mod udp;

pub use ages::Ages;
pub use call::CallTimer;
pub use endpoint::router;
pub use filter::Filter;
pub use naming::{label_value, rpc_name};
pub use places::{StartError, install, prefix, start};
pub use recorder::{MetricSettings, Metrics, MetricsError};
pub use rpc::{CountCalls, CountedBody};
pub use sink::{Event, Sink};
pub use statsd::Flavor;
pub use table::{Kind, Metric, rows};
pub use tally::Tally;
pub use tls::{MetricTlsError, OwnTls};
