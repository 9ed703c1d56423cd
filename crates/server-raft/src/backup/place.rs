//! Where backups lie: in a directory, or in a bucket under a prefix. What is here blocks while disk or network work.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use steeple_api::steeple::backup as pb;
use steeple_config::{BackupPlace, S3Settings, S3Url};
use steeple_core::Clock;
use steeple_plugins::seal::read_secret;
use steeple_s3::{Access, Bucket, Credentials, S3Error};
use tokio::runtime::Handle;

use super::{BackupError, facts};
use crate::watched::{WatchedRead, Watcher};

/// Clones are of the same place.
#[derive(Clone, Debug)]
pub enum Place {
    Directory(PathBuf),
    Bucket(BucketPlace),
}

#[derive(Clone, Debug)]
pub struct BucketPlace {
    bucket: Bucket,
    url: S3Url,
    runtime: Handle,
}

/// One backup, by the path or URL that people give it.
#[derive(Clone, Debug)]
pub struct Spot {
    pub place: Place,
    pub name: String,
}

/// A backup from its beginning.
pub struct Content {
    input: Box<dyn Read>,
    size_bytes: u64,
}

impl Content {
    /// Tells how much of it is read.
    pub fn watched(self, watcher: Watcher<'_>) -> impl Read {
        WatchedRead::new(self.input, self.size_bytes, watcher)
    }
}

impl Read for Content {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.input.read(into)
    }
}

impl Place {
    /// Credentials and roots are read now. Buckets are asked by the runtime that this runs in.
    pub async fn open(place: &BackupPlace, s3: &S3Settings, clock: &Arc<dyn Clock>) -> Result<Self, BackupError> {
        let url = match place {
            BackupPlace::Directory(dir) => return Ok(Self::Directory(dir.clone())),
            BackupPlace::Bucket(url) => url.clone(),
        };
        let credentials = s3.credentials.as_ref().map(|credentials| {
            let secret = read_secret(&credentials.secret_access_key);
            let secret_access_key = secret.map_err(|error| S3Error::Settings(error.to_string()))?;
            Ok::<_, S3Error>(Credentials { access_key_id: credentials.access_key_id.clone(), secret_access_key })
        });
        let access = Access {
            bucket: url.bucket.clone(),
            endpoint: s3.endpoint.clone(),
            region: s3.region.clone(),
            path_style: s3.path_style,
            ca_cert_path: s3.ca_cert_path.clone(),
            credentials: credentials.transpose()?,
        };
        let bucket = Bucket::open(&access, clock).await?;
        Ok(Self::Bucket(BucketPlace { bucket, url, runtime: Handle::current() }))
    }

    /// What lies right there, backups or not, by name. What is still being written is not among it.
    pub fn names(&self) -> Result<Vec<String>, BackupError> {
        match self {
            Self::Directory(dir) => names(dir).map_err(|error| {
                BackupError::Directory(io::Error::new(error.kind(), format!("{}: {error}", dir.display())))
            }),
            Self::Bucket(place) => {
                let prefix = if place.url.key.is_empty() { String::new() } else { format!("{}/", place.url.key) };
                let listed = place.runtime.block_on(place.bucket.list(&prefix))?;
                Ok(listed.into_iter().map(|object| object.name).collect())
            }
        }
    }

    /// From its beginning.
    pub fn read(&self, name: &str) -> Result<Content, BackupError> {
        match self {
            Self::Directory(dir) => {
                let file = File::open(dir.join(name)).map_err(BackupError::Read)?;
                let size_bytes = file.metadata().map_err(BackupError::Read)?.len();
                Ok(Content { input: Box::new(BufReader::new(file)), size_bytes })
            }
            Self::Bucket(place) => {
                let key = place.url.join(name).key;
                let object = place.runtime.block_on(place.bucket.open_object(&key))?;
                let size_bytes = object.size_bytes();
                Ok(Content { input: Box::new(object), size_bytes })
            }
        }
    }

    pub fn delete(&self, name: &str) -> Result<(), BackupError> {
        match self {
            Self::Directory(dir) => fs::remove_file(dir.join(name)).map_err(BackupError::Directory),
            Self::Bucket(place) => Ok(place.runtime.block_on(place.bucket.delete(&place.url.join(name).key))?),
        }
    }

    /// Its path or URL.
    pub fn shown(&self, name: &str) -> String {
        match self {
            Self::Directory(dir) => dir.join(name).display().to_string(),
            Self::Bucket(place) => place.url.join(name).to_string(),
        }
    }
}

impl BucketPlace {
    /// A backup of which `written` was found in `file`. It is read again once it is there: that tells besides whether
    /// it is ours, where an answer was lost and the next try found its name taken.
    pub(super) fn store(&self, name: &str, file: File, written: &pb::Facts) -> Result<(), BackupError> {
        let key = self.url.join(name).key;
        match self.runtime.block_on(self.bucket.put_new(&key, file)) {
            Ok(()) | Err(S3Error::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let there = facts(self.runtime.block_on(self.bucket.open_object(&key))?);
        match there.is_ok_and(|there| there.sha256 == written.sha256) {
            true => Ok(()),
            false => Err(BackupError::Taken { place: self.url.join(name).to_string() }),
        }
    }
}

impl Spot {
    /// A path, or `s3://BUCKET/PREFIX/NAME`.
    pub async fn open(text: &str, s3: &S3Settings, clock: &Arc<dyn Clock>) -> Result<Self, BackupError> {
        let place = BackupPlace::read(text).map_err(|error| S3Error::Settings(format!("{text}: {error}")))?;
        let (place, name) = match place {
            BackupPlace::Directory(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (BackupPlace::Directory(path.parent().unwrap_or(Path::new("")).to_owned()), name)
            }
            BackupPlace::Bucket(url) => {
                let (prefix, name) = url.key.rsplit_once('/').unwrap_or(("", &url.key));
                (BackupPlace::Bucket(S3Url { key: prefix.to_owned(), ..url.clone() }), name.to_owned())
            }
        };
        match name.is_empty() {
            true => Err(BackupError::NoName { text: text.to_owned() }),
            false => Ok(Self { place: Place::open(&place, s3, clock).await?, name }),
        }
    }

    /// From its beginning.
    pub fn read(&self) -> Result<Content, BackupError> {
        self.place.read(&self.name)
    }

    /// Reads all of it and checks every hash. The error names it.
    pub fn inspect(&self, watcher: Watcher<'_>) -> Result<pb::Facts, BackupError> {
        let read = self.read().and_then(|content| facts(content.watched(watcher)));
        let facts = read.map_err(|error| error.at(self))?;
        Ok(pb::Facts { path: self.to_string(), ..facts })
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place.shown(&self.name))
    }
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(dir)?.map(|item| Ok(item?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
