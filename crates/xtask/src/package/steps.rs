//! How far the packing is: a bar on a terminal, and nothing anywhere else.

use std::io::{self, IsTerminal as _, Write};

/// The bar is gone when it is dropped.
pub struct Steps {
    out: Box<dyn Write>,
    is_terminal: bool,
    done: usize,
    total: usize,
}

impl Steps {
    /// On standard error, so that standard output is the result alone.
    pub fn shown(total: usize) -> Self {
        Self { out: Box::new(io::stderr()), is_terminal: io::stderr().is_terminal(), done: 0, total }
    }

    /// For a caller that shows what it does itself.
    pub fn silent() -> Self {
        Self { out: Box::new(io::sink()), is_terminal: false, done: 0, total: 0 }
    }

    /// The step `what` begins, and the one before it is done.
    pub fn begin(&mut self, what: &str) {
        if !self.is_terminal {
            return;
        }
        let filled = (self.done * BAR_CHARS).checked_div(self.total).unwrap_or(BAR_CHARS).min(BAR_CHARS);
        let bar = format!("{:<BAR_CHARS$}", "#".repeat(filled));
        // Whoever cannot be shown a bar misses nothing else.
        let _ = write!(self.out, "\rpackage [{bar}] {}/{} {what}\x1b[K", self.done, self.total);
        let _ = self.out.flush();
        self.done += 1;
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if self.is_terminal {
            let _ = write!(self.out, "\r\x1b[K");
        }
    }
}

const BAR_CHARS: usize = 30;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(is_terminal: bool) -> String {
        let kept = Kept::default();
        let mut steps = Steps { out: Box::new(kept.clone()), is_terminal, done: 0, total: 2 };
        for what in ["one", "two", "more than was thought"] {
            steps.begin(what);
        }
        drop(steps);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_bar_for_people_that_leaves_nothing_behind() {
        let (empty, half, full) = (" ".repeat(30), format!("{:<30}", "#".repeat(15)), "#".repeat(30));
        let wanted = format!(
            "\rpackage [{empty}] 0/2 one\x1b[K\rpackage [{half}] 1/2 two\x1b[K\rpackage [{full}] 2/2 more than was \
             thought\x1b[K\r\x1b[K"
        );
        assert_eq!(shown(true), wanted);
        assert_eq!(shown(false), "");
    }
}
