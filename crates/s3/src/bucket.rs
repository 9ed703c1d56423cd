//! One bucket.

use std::fmt;
use std::fs::File;
use std::sync::Arc;

use futures::TryStreamExt as _;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use steeple_core::Clock;

use crate::reader::ObjectReader;
use crate::upload;
use crate::{Access, S3Error};

/// Clones share connections' settings and credentials.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<AmazonS3>,
    name: String,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Without the prefix.
    pub name: String,
    pub size_bytes: u64,
}

impl Bucket {
    /// Reads certificate files, and asks nobody yet.
    pub async fn open(access: &Access, clock: &Arc<dyn Clock>) -> Result<Self, S3Error> {
        Ok(Self { store: Arc::new(access.connect(clock).await?), name: access.bucket.clone() })
    }

    /// The objects right under `prefix`, which is empty or ends in a slash, by name. Uploads that have not ended are
    /// none.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, S3Error> {
        let told = |error| S3Error::of(error, &self.name, "");
        let folder = self.path(prefix.trim_end_matches('/'))?;
        let mut objects = self.store.list(Some(&folder));
        let (mut found, mut seen) = (Vec::new(), 0);
        while let Some(object) = objects.try_next().await.map_err(told)? {
            seen += 1;
            if seen > OBJECTS_MAX {
                return Err(S3Error::TooMany { max: OBJECTS_MAX });
            }
            let name = object.location.as_ref().strip_prefix(prefix);
            if let Some(name) = name.filter(|name| !name.contains('/')) {
                found.push(Listed { name: name.to_owned(), size_bytes: object.size });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Stores what `source` holds from its beginning, unless the name is taken. Either the whole object is there
    /// afterwards or none; what an interrupted upload left is not listed, and is for the bucket's life-cycle rules.
    pub async fn put_new(&self, key: &str, source: File) -> Result<(), S3Error> {
        upload::put_new(&self.store, &self.path(key)?, source, |error| self.failed(error, key)).await
    }

    /// For reading it from its beginning, from a thread that may block.
    pub async fn open_object(&self, key: &str) -> Result<ObjectReader, S3Error> {
        ObjectReader::open(self.clone(), key).await
    }

    /// What is not there is no failure.
    pub async fn delete(&self, key: &str) -> Result<(), S3Error> {
        match self.store.delete(&self.path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(error, key)),
        }
    }

    pub(crate) fn store(&self) -> &AmazonS3 {
        &self.store
    }

    pub(crate) fn path(&self, key: &str) -> Result<Path, S3Error> {
        Path::parse(key).map_err(|error| S3Error::settings(format!("{key:?} is no name of an object: {error}")))
    }

    pub(crate) fn failed(&self, error: object_store::Error, key: &str) -> S3Error {
        S3Error::of(error, &self.name, key)
    }
}

/// The library's own would show the credentials.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.name)
    }
}

/// At 150 bytes a name, what a listing takes is known; retention keeps 10,000 at most.
const OBJECTS_MAX: usize = 100_000;
