//! A SPIFFE bundle document in a file, such as a ConfigMap that a bundle publisher writes.

use std::io::Read;
use std::path::{Path, PathBuf};

use steeple_ca::jwks::{BUNDLE_BYTES_MAX, parse_jwt_authorities};
use steeple_core::JwtAuthority;

use super::{KeySource, SourceError};

pub(crate) struct FileSource(PathBuf);

impl FileSource {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl KeySource for FileSource {
    async fn fetch(&self) -> Result<Vec<JwtAuthority>, SourceError> {
        let path = self.0.clone();
        // Perhaps on a network volume.
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            // One byte more than is taken, so that the parser refuses what is larger.
            let limit = BUNDLE_BYTES_MAX as u64 + 1;
            std::fs::File::open(&path)?.take(limit).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        let unreadable = |source| SourceError::File { path: self.0.clone(), source };
        let bytes = read.await.map_err(std::io::Error::other).and_then(|read| read).map_err(unreadable)?;
        Ok(parse_jwt_authorities(&bytes)?)
    }
}
