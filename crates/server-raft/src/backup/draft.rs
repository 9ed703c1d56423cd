//! A backup while it is being written.

use std::fs::File;
use std::io::{self, BufReader, Seek as _, Write};
use std::path::Path;

use steeple_api::steeple::backup as pb;
use steeple_files::NewFile;

use super::{BackupError, BucketPlace, Place, Spot, facts};

/// It has its name only once it is whole and was read back. Dropped before, it is gone.
pub struct Draft {
    spot: Spot,
    file: DraftFile,
}

enum DraftFile {
    Beside(NewFile),
    /// On its way to a bucket. Without a name: whatever ends this process, nothing of it stays.
    Unnamed(File, BucketPlace),
}

impl Draft {
    /// The name has to be free. `scratch` is a directory with room for what goes to a bucket.
    pub fn create(spot: Spot, scratch: &Path) -> Result<Self, BackupError> {
        let file = match &spot.place {
            Place::Directory(dir) => {
                let file = NewFile::create(&dir.join(&spot.name)).map_err(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => BackupError::Taken { place: spot.to_string() },
                    _ => BackupError::Directory(error),
                });
                DraftFile::Beside(file?)
            }
            Place::Bucket(place) => {
                let file = tempfile::tempfile_in(scratch).map_err(BackupError::Write)?;
                DraftFile::Unnamed(file, place.clone())
            }
        };
        Ok(Self { spot, file })
    }

    /// Reads back what was written, and makes it the backup of its name: at once, durably, or not at all.
    pub fn keep(mut self) -> Result<pb::Facts, BackupError> {
        let written = match &mut self.file {
            DraftFile::Beside(file) => facts(BufReader::new(file.written().map_err(BackupError::Write)?)),
            DraftFile::Unnamed(file, _) => {
                file.rewind().map_err(BackupError::Write)?;
                facts(BufReader::new(file))
            }
        };
        let written = written.map_err(|error| error.at(&self.spot))?;
        match self.file {
            DraftFile::Beside(file) => file.keep().map_err(BackupError::Write)?,
            DraftFile::Unnamed(file, place) => place.store(&self.spot.name, file, &written)?,
        }
        Ok(pb::Facts { path: self.spot.to_string(), ..written })
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            DraftFile::Beside(file) => file.write(bytes),
            DraftFile::Unnamed(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.file {
            DraftFile::Beside(file) => file.flush(),
            DraftFile::Unnamed(file, _) => file.flush(),
        }
    }
}
