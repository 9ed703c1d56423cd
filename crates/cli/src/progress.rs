//! A line that shows how far something is, for people who watch a terminal.

use std::io::{self, IsTerminal as _, Write as _};

/// Draws on standard error, and only when that is a terminal. The line is gone when it is dropped.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    shown: Option<u64>,
    enabled: bool,
}

impl Progress {
    pub fn new(what: &'static str) -> Self {
        Self { what, shown: None, enabled: io::stderr().is_terminal() }
    }

    /// A `total` that turns out to be too small shows as 100 %.
    pub fn at(&mut self, done: u64, total: u64) {
        let percent = percent(done, total);
        if self.enabled && self.shown != Some(percent) {
            self.shown = Some(percent);
            let filled = usize::try_from(percent).unwrap_or(0) * BAR_CHARS / 100;
            let bar = format!("{:<BAR_CHARS$}", "#".repeat(filled));
            // Whoever cannot be shown a bar misses nothing else.
            let _ = write!(io::stderr(), "\r{} [{bar}] {percent:>3} %", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn percent(done: u64, total: u64) -> u64 {
    match total {
        0 => 100,
        total => (u128::from(done.min(total)) * 100 / u128::from(total)) as u64,
    }
}

const BAR_CHARS: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_estimate_stays_within_the_bar() {
        assert_eq!([percent(0, 0), percent(1, 3), percent(5, 3), percent(u64::MAX, u64::MAX)], [100, 33, 100, 100]);
    }
}
