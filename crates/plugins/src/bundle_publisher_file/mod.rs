//! BundlePublisher `file`: the bundle in a file of each replica, for web servers, sidecars and configuration tools.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use steeple_core::Bundle;
use steeple_core::plugin::{BoxFuture, BundlePublisher, PublishError, PublishPlace};
use steeple_files::write_public_file;

use crate::BundleFormat;

/// `plugin_data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedFile {
    pub path: PathBuf,
    pub format: BundleFormat,
    /// Seconds; `None`: what the bundle says.
    pub refresh_hint: Option<i64>,
}

pub struct FilePublisher(PublishedFile);

impl FilePublisher {
    pub fn new(file: PublishedFile) -> Self {
        Self(file)
    }
}

impl BundlePublisher for FilePublisher {
    fn name(&self) -> &str {
        "file"
    }

    fn place(&self) -> PublishPlace {
        PublishPlace::Replica
    }

    fn publish<'a>(&'a self, bundle: &'a Bundle) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async move {
            let PublishedFile { path, format, refresh_hint } = self.0.clone();
            let text = format.print(bundle, refresh_hint).map_err(|error| PublishError(error.to_string()))?;
            // Perhaps on a network volume.
            let written = tokio::task::spawn_blocking(move || replace(&path, text.as_bytes())).await;
            match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(PublishError(error.to_string())),
                Err(error) => Err(PublishError(format!("writing the bundle was given up: {error}"))),
            }
        })
    }
}

/// A file that holds `content` already is left alone: whoever watches it has nothing to read again.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    match holds(path, content) {
        true => Ok(()),
        false => write_public_file(path, content),
    }
}

fn holds(path: &Path, content: &[u8]) -> bool {
    let read = |file: File| {
        let mut found = Vec::new();
        // One byte more tells a longer file.
        file.take(content.len() as u64 + 1).read_to_end(&mut found).map(|_| found)
    };
    File::open(path).and_then(read).is_ok_and(|found| found == content)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_for_everybody_to_read_and_only_when_it_differs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle");
        let facts = || {
            let facts = std::fs::metadata(&path).unwrap();
            (facts.ino(), facts.permissions().mode() & 0o777)
        };
        replace(&path, b"one").unwrap();
        let (first, mode) = facts();
        assert_eq!(mode, 0o644);
        replace(&path, b"one").unwrap();
        assert_eq!(facts(), (first, mode));
        for content in [&b"one and more"[..], b"on", b""] {
            let before = facts();
            replace(&path, content).unwrap();
            assert_ne!(facts().0, before.0, "written in place, a reader could see half of it");
            assert_eq!((std::fs::read(&path).unwrap().as_slice(), facts().1), (content, 0o644));
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = replace(Path::new("/nonexistent/bundle"), b"one").unwrap_err();
        assert!(error.to_string().starts_with("cannot write /nonexistent/bundle: "), "{error}");
    }
}
