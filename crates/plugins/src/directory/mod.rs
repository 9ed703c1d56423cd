//! `directory`: SVIDs in files below a directory of the node, for programs that read nothing else.
//!
//! ```text
//!   selectors ── Place ──▶ base_dir/<path>/{svid.pem, svid_key.pem, bundle.pem, federated_bundle.<domain>.pem}
//! ```

mod contents;
mod place;
#[cfg(test)]
mod tests;

use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{Group, User};
use rustix::fs::{Access, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use steeple_core::plugin::{BoxFuture, StoreError, StorePlace, StoredSvid, SvidStore};
use steeple_files::{FolderFile, Ownership, SwitchedFolder};
use tokio::sync::Mutex;

use contents::Contents;
use place::{Name, Place};

/// One base directory, which no other agent may have.
pub struct DirectoryStore {
    base: Arc<PathBuf>,
    /// Locked for as long as the process lives.
    _lock: OwnedFd,
    /// One change at a time: an attempt that hangs is not overtaken by the next.
    changing: Arc<Mutex<()>>,
}

/// Why a base directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    #[error("base_dir {path} is no absolute path")]
    Relative { path: PathBuf },
    #[error("cannot make base_dir {path}: {source}")]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot write into base_dir {path}: {source}")]
    Access { path: PathBuf, source: io::Error },
    #[error("base_dir {path} is another agent's: two of them would remove each other's files")]
    Taken { path: PathBuf },
}

impl DirectoryStore {
    pub const NAME: &str = "directory";

    /// What can be said of it without a look at the disk.
    pub fn check_base(base: &Path) -> Result<(), BaseError> {
        if base.is_absolute() { Ok(()) } else { Err(BaseError::Relative { path: base.to_owned() }) }
    }

    /// Makes the directory where it is missing, with mode 0755.
    pub fn open(base: &Path) -> Result<Self, BaseError> {
        Self::check_base(base)?;
        let path = || base.to_owned();
        make(base).map_err(|source| BaseError::Make { path: path(), source })?;
        let unusable = |errno: Errno| BaseError::Access { path: path(), source: errno.into() };
        rustix::fs::access(base, Access::WRITE_OK | Access::EXEC_OK).map_err(unusable)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let lock = rustix::fs::open(base, flags, Mode::empty()).map_err(unusable)?;
        // Another failure is no reason to end: some network file systems have no locks.
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(BaseError::Taken { path: path() });
        }
        Ok(Self { base: Arc::new(path()), _lock: lock, changing: Arc::default() })
    }

    /// Runs `change` on a thread that may block, after the one before it.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Path) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.changing).lock_owned().await;
        let base = Arc::clone(&self.base);
        let changed = tokio::task::spawn_blocking(move || {
            let changed = change(&base);
            drop(turn);
            changed
        });
        changed.await.map_err(|error| StoreError::Failed(error.to_string()))?
    }
}

impl SvidStore for DirectoryStore {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn place(&self, values: &[String]) -> Result<StorePlace, StoreError> {
        Ok(Place::parse(values)?.place())
    }

    fn put<'a>(&'a self, values: &'a [String], svid: StoredSvid<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let place = Place::parse(values)?;
            let contents = Contents::of(&svid, place.group.is_some())?;
            self.change(move |base| write(base, &place, &contents)).await
        })
    }

    fn delete<'a>(&'a self, place: &'a StorePlace) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let names = place.0.clone();
            let remove = |base: &Path| SwitchedFolder::new(base, names).and_then(|folder| folder.remove());
            self.change(move |base| remove(base).map_err(failed)).await
        })
    }

    fn kept(&self) -> BoxFuture<'_, Result<Vec<StorePlace>, StoreError>> {
        Box::pin(async {
            let look = |base: &Path| {
                let found = SwitchedFolder::all_below(base, place::DEPTH_MAX, FOLDERS_MAX).map_err(failed)?;
                Ok(found.iter().map(|folder| StorePlace(folder.names().to_vec())).collect())
            };
            self.change(look).await
        })
    }
}

/// With what is missing above it. Whoever the SVIDs are for has to come through, whatever the umask.
fn make(base: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = base.ancestors().take_while(|path| !path.exists()).collect();
    std::fs::create_dir_all(base)?;
    missing.into_iter().try_for_each(|made| std::fs::set_permissions(made, Permissions::from_mode(BASE_MODE)))
}

fn write(base: &Path, place: &Place, contents: &Contents) -> Result<(), StoreError> {
    let ownership = Ownership {
        user: place.owner.as_ref().map(user_id).transpose()?,
        group: place.group.as_ref().map(group_id).transpose()?,
    };
    let files: Vec<FolderFile<'_>> = contents.files().collect();
    let folder = SwitchedFolder::new(base, &place.path).map_err(failed)?;
    folder.write(&files, ownership).map_err(failed)
}

/// Users and groups come and go: they are looked up each time.
fn user_id(name: &Name) -> Result<u32, StoreError> {
    let found = match name {
        Name::Id(id) => return Ok(*id),
        Name::Name(name) => User::from_name(name).map(|user| user.map(|user| user.uid.as_raw())),
    };
    known("user", name, found)
}

fn group_id(name: &Name) -> Result<u32, StoreError> {
    let found = match name {
        Name::Id(id) => return Ok(*id),
        Name::Name(name) => Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw())),
    };
    known("group", name, found)
}

fn known(what: &str, name: &Name, found: nix::Result<Option<u32>>) -> Result<u32, StoreError> {
    match found {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err(StoreError::Failed(format!("this node has no {what} {name}"))),
        Err(error) => Err(StoreError::Failed(format!("cannot look up {what} {name}: {error}"))),
    }
}

fn failed(error: io::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

const BASE_MODE: u32 = 0o755;
/// What is looked through at a start for the files of entries that are gone.
const FOLDERS_MAX: usize = 100_000;
