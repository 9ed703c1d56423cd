//! Puts the pieces together.

use std::io;
use std::path::PathBuf;

use steeple_config::{LogFormat, LogSettings};
use steeple_core::system_words;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer as _, Registry, reload};

use super::layer::{Layer, Threshold};
use super::{Ledger, Levels, Sink};

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// SPIRE's text.
    #[error("open {}: {}", path.display(), system_words(source))]
    File { path: PathBuf, source: io::Error },
    #[error("logging was started before in this process")]
    StartedBefore,
}

/// Logging that runs.
#[derive(Clone)]
pub struct Logging {
    pub levels: Levels,
    sink: Sink,
    format: LogFormat,
}

/// What SPIRE's `validate` prints on standard error of a log file that [`start`] could not write to; `program` is
/// `server` or `agent`. A file that is not there yet is made, as SPIRE makes it.
pub fn refusal_of(settings: &LogSettings, program: &str) -> Option<String> {
    let refused = sink(settings).err()?;
    Some(format!("SPIRE {program} configuration file is invalid: {refused}\n"))
}

/// Once per process, before the first message.
pub fn start(settings: &LogSettings) -> Result<Logging, LogError> {
    start_on(sink(settings)?, settings)
}

fn sink(settings: &LogSettings) -> Result<Sink, LogError> {
    match &settings.file {
        None => Ok(Sink::stdout()),
        Some(path) => Sink::file(path).map_err(|source| LogError::File { path: path.clone(), source }),
    }
}

/// As [`start`], for programs whose standard output is another program's; `settings.file` does not matter.
pub fn start_on(sink: Sink, settings: &LogSettings) -> Result<Logging, LogError> {
    let (subscriber, logging) = build(settings, sink);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::StartedBefore)?;
    Ok(logging)
}

fn build(settings: &LogSettings, sink: Sink) -> (impl Subscriber + Send + Sync, Logging) {
    let (filter, handle) = reload::Layer::new(Threshold(settings.level));
    let layer = Layer { sink: sink.clone(), format: settings.format, source_location: settings.source_location };
    let subscriber = Registry::default().with(layer.with_filter(filter));
    (subscriber, Logging { levels: Levels::new(settings.level, handle), sink, format: settings.format })
}

impl Logging {
    pub fn ledger(&self) -> Ledger {
        Ledger { sink: self.sink.clone(), format: self.format }
    }

    pub fn reopen(&self) -> io::Result<()> {
        self.sink.reopen()
    }

    /// At SIGUSR2 opens the log file anew, for ever. From now on that signal does not end the process, nor does
    /// SIGUSR1, which is for those who have plugins; nor do they later when the future is dropped.
    pub fn answer_signals(self) -> io::Result<impl Future<Output = ()> + Send> {
        let mut reopen = signal(SignalKind::user_defined2())?;
        drop(signal(SignalKind::user_defined1())?);
        Ok(async move {
            while reopen.recv().await.is_some() {
                match self.reopen() {
                    Ok(()) => tracing::info!("reopened log file"),
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "failed to reopen log file");
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Arc;
    use steeple_config::{LogFormat, LogLevel};

    #[derive(Clone, Default)]
    struct Lines(Arc<parking_lot::Mutex<Vec<u8>>>);

    impl Lines {
        /// The lines since the last call, without their time.
        fn take(&self) -> Vec<String> {
            let text = String::from_utf8(std::mem::take(&mut *self.0.lock())).unwrap();
            text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn settings(level: LogLevel) -> LogSettings {
        LogSettings { level, format: LogFormat::Text, file: None, source_location: false }
    }

    #[test]
    fn levels_change_at_run_time() {
        let lines = Lines::default();
        let (subscriber, logging) = build(&settings(LogLevel::Info), Sink::to(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let both = || {
                tracing::info!("shown");
                tracing::debug!("hidden");
            };
            both();
            assert_eq!(lines.take(), ["level=info msg=shown"]);
            logging.levels.set(LogLevel::Debug);
            both();
            assert_eq!(lines.take(), ["level=info msg=shown", "level=debug msg=hidden"]);
            logging.levels.set(LogLevel::Fatal);
            both();
            tracing::error!("not even this");
            assert!(lines.take().is_empty());
            assert_eq!((logging.levels.current(), logging.levels.launch()), (LogLevel::Fatal, LogLevel::Info));
            logging.levels.reset();
            both();
            assert_eq!(lines.take(), ["level=info msg=shown"]);
        });
    }

    #[test]
    fn libraries_stay_quiet_below_warning() {
        let lines = Lines::default();
        let (subscriber, logging) = build(&settings(LogLevel::Debug), Sink::to(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let library = || {
                tracing::info!(target: "h2", "chatter");
                tracing::warn!(target: "h2", "trouble");
            };
            library();
            assert_eq!(lines.take(), ["level=warning msg=trouble"]);
            logging.levels.set(LogLevel::Trace);
            library();
            assert_eq!(lines.take().len(), 2);
            logging.levels.set(LogLevel::Error);
            library();
            assert!(lines.take().is_empty());
        });
    }

    #[test]
    fn the_consensus_library_is_not_heard_while_a_peer_is_away() {
        let lines = Lines::default();
        let (subscriber, logging) = build(&settings(LogLevel::Info), Sink::to(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let library = || {
                tracing::warn!(target: "openraft::replication", "recv RPCError");
                tracing::error!(target: "openraft::core", "fatal");
            };
            library();
            assert_eq!(lines.take(), ["level=error msg=fatal"]);
            for level in [LogLevel::Warn, LogLevel::Debug] {
                logging.levels.set(level);
                library();
                assert_eq!(lines.take(), ["level=error msg=fatal"], "{level:?}");
            }
            logging.levels.set(LogLevel::Trace);
            library();
            assert_eq!(lines.take(), ["level=warning msg=\"recv RPCError\"", "level=error msg=fatal"]);
        });
    }

    #[test]
    fn peers_that_call_while_a_replica_stops_are_no_error() {
        let lines = Lines::default();
        let (subscriber, logging) = build(&settings(LogLevel::Debug), Sink::to(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let call = || tracing::error!(target: "openraft::raft::raft_inner", "raft stopped");
            call();
            assert!(lines.take().is_empty());
            logging.levels.set(LogLevel::Trace);
            call();
            assert_eq!(lines.take(), ["level=error msg=\"raft stopped\""]);
        });
    }

    #[test]
    fn spans_lend_their_fields_and_errors_show_their_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot store")]
        struct Outer(#[source] io::Error);

        let lines = Lines::default();
        let (subscriber, _logging) = build(&settings(LogLevel::Info), Sink::to(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("rpc", method = "Get", late = tracing::field::Empty);
            let _entered = span.enter();
            span.record("late", 5);
            let error = Outer(io::Error::other("disk full"));
            tracing::warn!(error = &error as &dyn std::error::Error, method = "Put", "call failed");
        });
        assert_eq!(
            lines.take(),
            ["level=warning msg=\"call failed\" error=\"cannot store: disk full\" late=5 method=Put"]
        );
    }
}
