//! Records whose fields are known only at run time, which tracing's macros cannot write.

use jiff::Zoned;
use steeple_config::{LogFormat, LogLevel};

use super::Sink;
use super::format::format_line;
use super::layer::rfc3339;
use super::record::{Fields, Record};

/// Writes into the log, in its form, at level info but whatever level is in force: what must be on record does not
/// depend on how much an operator wants to read. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    pub(super) sink: Sink,
    pub(super) format: LogFormat,
}

impl Ledger {
    pub fn info(&self, message: &str, fields: Fields) {
        let time = rfc3339(&Zoned::now());
        let record = Record { time, level: LogLevel::Info, message: message.to_owned(), caller: None, fields };
        self.sink.write(&format_line(self.format, &record));
    }
}
