//! How far a long command is: a bar on a terminal, a line for each news anywhere else.

use std::io::{self, Write};
use std::time::Duration;

use steeple_cli::Streams;
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

/// An election, or a restart of the replica that is asked, does not end a long command.
pub(super) fn is_passing(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled)
}

/// Longer than either.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const BAR_WIDTH: usize = 24;
/// ANSI: erase from the cursor to the end of the line.
const ERASE_REST: &str = "\x1b[K";

#[cfg(test)]
mod tests {
    use super::*;

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
