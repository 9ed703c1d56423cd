//! What is at work, for people: on a terminal one line that names all of it and is written over; in a log a line for
//! each, now and then.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The processes that run now, in the order in which they began.
#[derive(Debug, Default)]
pub struct Progress {
    running: Mutex<Vec<Running>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Running {
    title: String,
    log: PathBuf,
    started: Instant,
}

/// A process is shown as long as this lives.
pub struct Shown<'a> {
    progress: &'a Progress,
    running: Running,
}

const TERMINAL_EVERY: Duration = Duration::from_millis(500);
/// In a log that nobody watches, a line now and then is enough.
const LOG_EVERY: Duration = Duration::from_secs(30);
/// Shared by all that runs: a line that wraps could not be written over.
const TERMINAL_CHARS_MAX: usize = 110;
const LOG_CHARS_MAX: usize = 120;
const SEPARATOR: &str = "  |  ";
/// Of a log's end.
const LAST_LINE_BYTES_MAX: u64 = 4000;
/// How a line begins that cargo writes for programs.
pub const CARGO_MESSAGE: &str = "{\"reason\":";
const CLEAR_LINE: &str = "\r\x1b[K";

/// A line that stays. It takes the place of the progress line, which comes back below it.
pub fn say(text: &str) {
    let clear = if std::io::stdout().is_terminal() { CLEAR_LINE } else { "" };
    println!("{clear}{text}");
}

impl Progress {
    pub fn begin(&self, title: &str, log: &Path) -> Shown<'_> {
        let running = Running { title: title.to_owned(), log: log.to_owned(), started: Instant::now() };
        self.running().push(running.clone());
        Shown { progress: self, running }
    }

    /// How often [`Shown::show`] is worth a call.
    pub fn every(&self) -> Duration {
        if std::io::stdout().is_terminal() { TERMINAL_EVERY } else { LOG_EVERY }
    }

    /// Nobody panics while holding it; if somebody did, the list would still be one.
    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown<'_> {
    /// Written in one piece, so that the lines of two lanes do not mix.
    pub fn show(&self) {
        if !std::io::stdout().is_terminal() {
            return say(&part(&self.running, LOG_CHARS_MAX));
        }
        // Held until the line is written: what ended is not shown again.
        let running = self.progress.running();
        print!("{CLEAR_LINE}{}", line(&running));
        let _ = std::io::stdout().flush();
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let mut running = self.progress.running();
        running.retain(|other| *other != self.running);
        if std::io::stdout().is_terminal() {
            print!("{CLEAR_LINE}");
        }
    }
}

fn line(running: &[Running]) -> String {
    let chars_max = TERMINAL_CHARS_MAX / running.len().max(1);
    running.iter().map(|running| part(running, chars_max)).collect::<Vec<_>>().join(SEPARATOR)
}

fn part(running: &Running, chars_max: usize) -> String {
    let last = last_line(&running.log).unwrap_or_default();
    let text = format!("{}: {} s  {last}", running.title, running.started.elapsed().as_secs());
    text.chars().take(chars_max).collect()
}

fn last_line(log: &Path) -> std::io::Result<String> {
    let file = File::open(log)?;
    let from = file.metadata()?.len().saturating_sub(LAST_LINE_BYTES_MAX);
    let mut end = [0; LAST_LINE_BYTES_MAX as usize];
    let length = file.read_at(&mut end, from)?;
    let text = String::from_utf8_lossy(&end[..length]);
    // The text begins in the middle of a line.
    let lines = text.lines().skip(usize::from(from > 0));
    let telling = lines.filter(|line| !line.trim().is_empty() && !line.starts_with(CARGO_MESSAGE));
    let line = telling.last().unwrap_or_default();
    Ok(line.trim().chars().filter(|character| !character.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_words() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, "first\nsecond \u{1b}\n\n{\"reason\":\"build-finished\"}\n").unwrap();
        assert_eq!(last_line(&log).unwrap(), "second ");
    }

    #[test]
    fn one_line_names_all_that_runs_and_does_not_wrap() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, "x".repeat(1000)).unwrap();
        let progress = Progress::default();
        let _rust = progress.begin("rust", &log);
        let java = progress.begin("interop: java", &log);
        let both = line(&progress.running());
        assert!(both.starts_with("rust: 0 s  xxx") && both.contains("  |  interop: java: 0 s  xxx"), "{both}");
        assert!(both.chars().count() <= TERMINAL_CHARS_MAX + SEPARATOR.len(), "{both}");
        drop(java);
        let one = line(&progress.running());
        assert!(!one.contains("java") && one.chars().count() == TERMINAL_CHARS_MAX, "{one}");
    }
}
