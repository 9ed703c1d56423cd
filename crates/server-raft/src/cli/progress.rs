//! How far a long command is: a bar on a terminal, a line for each news anywhere else.

use std::io::{self, Write};
use std::time::Duration;

use steeple_cli::{Streams, broken_connection};
use tonic::{Code, Status};

/// Written to standard error, so that standard output is the result alone.
#[derive(Debug, Default)]
pub(super) struct Progress {
    shown: String,
}

impl Progress {
    /// `done` is between 0 and 1.
    pub(super) fn show(&mut self, streams: &mut Streams, done: f64, text: &str) -> io::Result<()> {
        let percent = (done.clamp(0.0, 1.0) * 100.0).floor();
        if streams.stderr_is_terminal {
            let filled = (done.clamp(0.0, 1.0) * BAR_WIDTH as f64) as usize;
            let bar: String = (0..BAR_WIDTH).map(|cell| if cell < filled { '#' } else { '.' }).collect();
            write!(streams.stderr, "\r[{bar}] {percent:>3}% {text}{ERASE_REST}")?;
            return streams.stderr.flush();
        }
        let line = format!("{percent:>3}% {text}");
        if line != self.shown {
            writeln!(streams.stderr, "{line}")?;
            self.shown = line;
        }
        Ok(())
    }

    /// A line that stays.
    pub(super) fn note(&mut self, streams: &mut Streams, text: &str) -> io::Result<()> {
        let start = if streams.stderr_is_terminal { "\r" } else { "" };
        let end = if streams.stderr_is_terminal { ERASE_REST } else { "" };
        writeln!(streams.stderr, "{start}{text}{end}")
    }

    pub(super) fn end(&mut self, streams: &mut Streams) -> io::Result<()> {
        if streams.stderr_is_terminal { writeln!(streams.stderr) } else { Ok(()) }
    }
}

/// An election, or a restart or the death of the replica that is asked, does not end a long command.
pub(super) fn is_passing(status: &Status) -> bool {
    let by_code = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled);
    by_code || broken_connection(status).is_some()
}

/// Longer than either.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const BAR_WIDTH: usize = 24;
/// ANSI: erase from the cursor to the end of the line.
const ERASE_REST: &str = "\x1b[K";

#[cfg(test)]
mod tests {
    use steeple_api::steeple::server::AuthorityStatusRequest;
    use steeple_api::steeple::server::authorities_client::AuthoritiesClient;
    use tokio::net::UnixListener;

    use super::*;

    /// tonic calls it `Unknown`, which a server's own answer may be, too.
    #[tokio::test]
    async fn a_replica_that_dies_in_a_call_does_not_end_a_command() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut client = AuthoritiesClient::new(steeple_cli::connect(&path));
        let dies = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = h2::server::handshake(stream).await.unwrap();
            drop(server.accept().await.unwrap().unwrap());
        };
        let (answer, ()) = tokio::join!(client.status(AuthorityStatusRequest {}), dies);
        let status = answer.unwrap_err();
        assert!(is_passing(&status), "{status:?}");
        assert!(!is_passing(&Status::unknown("the server says so")));
    }

    #[test]
    fn a_bar_on_a_terminal_and_lines_elsewhere() {
        let (mut streams, captured) = Streams::captured("");
        let mut progress = Progress::default();
        for done in [0.25, 0.25, 0.5] {
            progress.show(&mut streams, done, "working").unwrap();
        }
        assert_eq!(captured.stderr(), " 25% working\n 50% working\n");
        streams.stderr_is_terminal = true;
        progress.show(&mut streams, 0.5, "working").unwrap();
        progress.end(&mut streams).unwrap();
        assert!(captured.stderr().ends_with("\r[############............]  50% working\x1b[K\n"));
    }
}
