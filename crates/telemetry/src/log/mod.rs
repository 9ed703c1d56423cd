//! Logs: tracing events written exactly as logrus (SPIRE's library) writes them, because scripts wait for its lines.

mod format;
mod layer;
mod ledger;
mod level;
mod levels;
mod names;
mod record;
mod sink;
mod start;

pub use ledger::Ledger;
pub use levels::Levels;
pub use names::call_names;
pub use record::{Fields, Value};
pub use sink::Sink;
pub use start::{LogError, Logging, refusal_of, start, start_on};
pub use steeple_config::{LogFormat, LogLevel as Level, LogSettings};
