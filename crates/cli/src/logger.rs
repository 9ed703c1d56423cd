//! The `logger` commands, which server and agent share.

use std::io::Write;

use steeple_api::types::{LogLevel, Logger};

use crate::{Failure, Streams};

/// The value of `-level`.
pub fn log_level(text: &str) -> Result<LogLevel, Failure> {
    if text.is_empty() {
        return Err(Failure::message("a value (-level) must be set"));
    }
    let level = steeple_config::LogLevel::from_name(text)
        .ok_or_else(|| Failure::Message(format!("the value {text:?} is not a valid setting")))?;
    Ok(match level {
        steeple_config::LogLevel::Panic => LogLevel::Panic,
        steeple_config::LogLevel::Fatal => LogLevel::Fatal,
        steeple_config::LogLevel::Error => LogLevel::Error,
        steeple_config::LogLevel::Warn => LogLevel::Warn,
        steeple_config::LogLevel::Info => LogLevel::Info,
        steeple_config::LogLevel::Debug => LogLevel::Debug,
        steeple_config::LogLevel::Trace => LogLevel::Trace,
    })
}

pub fn print_logger(streams: &mut Streams, logger: &Logger) -> Result<(), Failure> {
    let out = &mut streams.stdout;
    writeln!(out, "Logger Level : {}", level_name(logger.current_level()))?;
    writeln!(out, "Launch Level : {}\n", level_name(logger.launch_level()))?;
    Ok(())
}

/// logrus' names.
fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Unspecified => "unspecified",
        LogLevel::Panic => "panic",
        LogLevel::Fatal => "fatal",
        LogLevel::Error => "error",
        LogLevel::Warn => "warning",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_name() {
        assert_eq!(log_level("WARN").unwrap(), LogLevel::Warn);
        assert_eq!(log_level("loud").unwrap_err().to_string(), "the value \"loud\" is not a valid setting");
        assert_eq!(log_level("").unwrap_err().to_string(), "a value (-level) must be set");
    }
}
