//! The log of one seed's servers, in a file that is closed in order even when its run hangs.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;

#[derive(Clone)]
pub(super) struct Log {
    path: Arc<PathBuf>,
    file: Arc<Mutex<BufWriter<File>>>,
}

/// How long a thread that hangs may hold the file until it is left as it is.
const LOCK_MAX: Duration = Duration::from_secs(1);

impl Log {
    pub(super) fn create(path: PathBuf) -> anyhow::Result<Self> {
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path: Arc::new(path), file: Arc::new(Mutex::new(BufWriter::new(file))) })
    }

    /// What cannot be written is missing in a log, and nowhere else.
    pub(super) fn flush(&self) {
        let Some(mut file) = self.file.try_lock_for(LOCK_MAX) else { return };
        if let Err(error) = file.flush() {
            eprintln!("simulate: {}: {error}", self.path.display());
        }
    }

    pub(super) fn remove(&self) -> anyhow::Result<()> {
        std::fs::remove_file(&*self.path).with_context(|| self.path.display().to_string())
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        // As the buffer decides: a line is not worth a call of the system.
        Ok(())
    }
}
