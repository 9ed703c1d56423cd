//! The program, checked on the file that is started: what is put in its place meanwhile is not what runs.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use nix::unistd::{AccessFlags, access};
use steeple_core::plugin::ExternalProgram;
use steeple_core::system_words;

use super::bounds::PROGRAM_BYTES_MAX;
use super::launch_error::LaunchError;

/// Whether the program is there, is the one that is meant, and may be executed. Blocks while it reads the program.
pub fn check_program(program: &ExternalProgram) -> Result<(), LaunchError> {
    let file = ProgramFile::open(&program.path, program.sha256.as_ref())?;
    access(&file.path, AccessFlags::X_OK).map_err(|errno| LaunchError::Start {
        path: program.path.display().to_string(),
        why: system_words(&errno.into()),
    })
}

/// A program as it is going to be started.
#[derive(Debug)]
pub(super) struct ProgramFile {
    pub path: PathBuf,
    /// Open when it was checked.
    checked: Option<File>,
}

impl ProgramFile {
    /// `path` is taken from the working directory; nothing is looked for in `PATH`. Blocks while it reads the program.
    pub(super) fn open(path: &Path, sha256: Option<&[u8; 32]>) -> Result<Self, LaunchError> {
        let shown = path.display().to_string();
        let start = |error: &std::io::Error| LaunchError::Start { path: shown.clone(), why: system_words(error) };
        let path = std::path::absolute(path).map_err(|error| start(&error))?;
        let Some(wanted) = sha256 else { return Ok(Self { path, checked: None }) };
        let unreadable = |why: String| LaunchError::Unreadable { path: shown.clone(), why };
        // A pipe would be waited for.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        let mut file = options.open(&path).map_err(|error| start(&error))?;
        if !file.metadata().map_err(|error| unreadable(system_words(&error)))?.is_file() {
            return Err(unreadable("it is no regular file".into()));
        }
        let found = digest(&mut file).map_err(|error| unreadable(system_words(&error)))?;
        match found {
            None => Err(LaunchError::TooLarge { path: shown }),
            Some(found) if found != *wanted => Err(LaunchError::Checksum { path: shown, found: hex::encode(found) }),
            Some(_) => Ok(Self { path, checked: Some(file) }),
        }
    }

    /// What is executed.
    pub(super) fn to_execute(&self) -> PathBuf {
        match &self.checked {
            None => self.path.clone(),
            Some(file) => PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())),
        }
    }

    /// What [`Self::to_execute`] names, as long as it is open.
    pub(super) fn into_checked(self) -> Option<File> {
        self.checked
    }

    /// Of the file.
    pub(super) fn file_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// `None` for more than a program has.
fn digest(file: &mut File) -> std::io::Result<Option<[u8; 32]>> {
    let mut context = Context::new(&SHA256);
    let mut reader = file.take(PROGRAM_BYTES_MAX + 1);
    let (mut chunk, mut total) = (vec![0; CHUNK_BYTES], 0);
    loop {
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        total += read as u64;
        context.update(&chunk[..read]);
    }
    if total > PROGRAM_BYTES_MAX {
        return Ok(None);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Ok(Some(digest))
}

const CHUNK_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "abc" (FIPS 180-2).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn sum(text: &str) -> [u8; 32] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    #[test]
    fn only_the_program_that_was_meant_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugin");
        std::fs::write(&path, "abc").unwrap();
        let program = ProgramFile::open(&path, Some(&sum(ABC))).unwrap();
        // What is there now is not what was checked.
        std::fs::rename(&path, dir.path().join("moved")).unwrap();
        std::fs::write(&path, "xyz").unwrap();
        assert_eq!(std::fs::read(program.to_execute()).unwrap(), b"abc");
        let error = ProgramFile::open(&path, Some(&sum(ABC))).unwrap_err();
        assert!(matches!(&error, LaunchError::Checksum { found, .. } if found != ABC), "{error}");
        assert!(error.to_string().contains("checksums did not match"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = ProgramFile::open(dir.path(), Some(&sum(ABC))).unwrap_err();
        assert!(error.to_string().ends_with("it is no regular file"), "{error}");
        let error = ProgramFile::open(&dir.path().join("none"), Some(&sum(ABC))).unwrap_err();
        assert!(error.to_string().ends_with("none: no such file or directory"), "{error}");
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(ProgramFile::open(&pipe, Some(&sum(ABC))).is_err());
    }
}
