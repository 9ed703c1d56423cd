//! A folder whose files change all at once.
//!
//! ```text
//!   base/web/                      stays the same folder, for whoever watches or mounts it
//!     svid.pem ─▶ ..data/svid.pem
//!     ..data ─▶ ..files-18f3…      renamed over the one before: that is the change
//!     ..files-18f3…/svid.pem
//! ```
//!
//! Kubernetes shows its Secrets in this way. Below `base` every name is opened relative to its folder and no symbolic
//! link is followed, so that whoever may write there leads nobody elsewhere.

use std::ffi::{CStr, OsStr};
use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, mkdirat, openat, readlinkat, renameat, symlinkat, unlinkat};
use rustix::io::Errno;

/// Below a folder that exists, whose own name may be a symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchedFolder {
    base: PathBuf,
    /// Plain names, each the folder of the next.
    names: Vec<String>,
}

/// What a file of the folder shall hold, and its mode whatever the umask.
#[derive(Clone, Copy)]
pub struct FolderFile<'c> {
    pub name: &'c str,
    pub content: &'c [u8],
    pub mode: u32,
}

/// Whose the files are; the process's own where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    pub user: Option<u32>,
    pub group: Option<u32>,
}

impl SwitchedFolder {
    /// `names` lead from `base` to the folder. Each is one component of a path, and none begins with a dot.
    pub fn new(base: &Path, names: impl IntoIterator<Item = impl Into<String>>) -> io::Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        match names.iter().find(|name| !is_plain(name)) {
            Some(name) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name of a folder"))),
            None => Ok(Self { base: base.to_owned(), names }),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.names.iter().fold(self.base.clone(), |path, name| path.join(name))
    }

    /// Puts `files` in the place of those that were written before: a reader and a crash see all of the old or all of
    /// the new, and where one cannot be written none changes. Names appear in the order given. What somebody else put
    /// under one of them is left alone, and an error.
    pub fn write(&self, files: &[FolderFile<'_>], ownership: Ownership) -> io::Result<()> {
        let folder = self.open_or_make()?;
        for file in files {
            self.refuse_strange(&folder, file.name)?;
        }
        let old = current(&folder).map_err(self.failed("look into"))?;
        sweep(folder.as_fd(), old.as_deref()).map_err(self.failed("tidy up"))?;
        let fresh = fresh_name();
        let written = self.write_beside(&folder, &fresh, files, ownership).and_then(|()| {
            symlinkat(&fresh, &folder, NEXT).map_err(self.failed("write"))?;
            renameat(&folder, NEXT, &folder, DATA).map_err(self.failed("write"))
        });
        if let Err(error) = written {
            // What failed is worth reporting, not that what is left of it cannot be removed.
            let _ = sweep(folder.as_fd(), old.as_deref());
            return Err(error);
        }
        self.show(&folder, files).map_err(self.failed("write"))?;
        sweep(folder.as_fd(), Some(&fresh)).map_err(self.failed("tidy up"))?;
        rustix::fs::fsync(&folder).map_err(self.failed("sync"))
    }

    /// Removes what was written, and the folder if nothing else is in it. The folders above it stay.
    pub fn remove(&self) -> io::Result<()> {
        let Some((last, above)) = self.names.split_last() else { return Ok(()) };
        let Some(parent) = self.open(above).map_err(self.failed("open"))? else { return Ok(()) };
        let Some(folder) = open_folder(parent.as_fd(), last).map_err(self.failed("open"))? else { return Ok(()) };
        let removed = || {
            // All of them are gone with this one.
            gone(unlinkat(&folder, DATA, AtFlags::empty()))?;
            for name in names_in(folder.as_fd())? {
                if is_shown(folder.as_fd(), &name)? {
                    gone(unlinkat(&folder, name.as_str(), AtFlags::empty()))?;
                }
            }
            sweep(folder.as_fd(), None)?;
            match unlinkat(&parent, last.as_str(), AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => {}
                other => gone(other)?,
            }
            rustix::fs::fsync(&parent)
        };
        removed().map_err(self.failed("remove"))
    }

    /// The folders below `base` that hold what [`write`](Self::write) wrote. Deeper than `depth_max` and beyond
    /// `folders_max` folders nothing is looked for.
    pub fn all_below(base: &Path, depth_max: usize, folders_max: usize) -> io::Result<Vec<Self>> {
        let (mut found, mut left, mut seen) = (Vec::new(), vec![Self { base: base.to_owned(), names: Vec::new() }], 0);
        while let Some(at) = left.pop() {
            let Some(folder) = at.open(&at.names).map_err(at.failed("open"))? else { continue };
            if current(&folder).map_err(at.failed("look into"))?.is_some() && !at.names.is_empty() {
                found.push(at.clone());
            }
            if at.names.len() >= depth_max {
                continue;
            }
            for name in names_in(folder.as_fd()).map_err(at.failed("look into"))? {
                // A file or a link is none; one that went away meanwhile neither.
                let is_folder = matches!(open_folder(folder.as_fd(), &name), Ok(Some(_)));
                if is_folder && is_plain(&name) && seen < folders_max {
                    seen += 1;
                    left.push(Self { base: at.base.clone(), names: [at.names.as_slice(), &[name]].concat() });
                }
            }
        }
        Ok(found)
    }

    /// From `base` to the folder, one name after the other.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    fn open(&self, names: &[String]) -> Result<Option<OwnedFd>, Errno> {
        let mut folder = openat(CWD, &self.base, FOLDER, Mode::empty())?;
        for name in names {
            match open_folder(folder.as_fd(), name)? {
                Some(below) => folder = below,
                None => return Ok(None),
            }
        }
        Ok(Some(folder))
    }

    fn open_or_make(&self) -> io::Result<OwnedFd> {
        let mut folder = openat(CWD, &self.base, FOLDER, Mode::empty()).map_err(self.failed("open"))?;
        for name in &self.names {
            let found = open_folder(folder.as_fd(), name).map_err(self.failed("open"))?;
            folder = match found {
                Some(below) => below,
                None => make_folder(folder.as_fd(), name, FOLDER_MODE).map_err(self.failed("make"))?,
            };
        }
        Ok(folder)
    }

    /// What is under `name` has to be ours or nothing.
    fn refuse_strange(&self, folder: &OwnedFd, name: &str) -> io::Result<()> {
        if !is_plain(name) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name of a file")));
        }
        match is_shown(folder.as_fd(), name) {
            Ok(true) | Err(Errno::NOENT) => Ok(()),
            Ok(false) => {
                let path = self.path().join(name);
                let text = format!("{} is there and was not written here: move it away", path.display());
                Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
            }
            Err(error) => Err(self.failed("look into")(error)),
        }
    }

    fn write_beside(
        &self,
        folder: &OwnedFd,
        fresh: &str,
        files: &[FolderFile<'_>],
        ownership: Ownership,
    ) -> io::Result<()> {
        let fresh = make_folder(folder.as_fd(), fresh, FOLDER_MODE).map_err(self.failed("write"))?;
        for file in files {
            let told = |error: io::Error| {
                let path = self.path().join(file.name);
                io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
            };
            write_new(fresh.as_fd(), file, ownership).map_err(told)?;
        }
        rustix::fs::fsync(&fresh).map_err(self.failed("sync"))
    }

    /// Names that are not there yet appear, and those of files that are no more go.
    fn show(&self, folder: &OwnedFd, files: &[FolderFile<'_>]) -> Result<(), Errno> {
        rustix::fs::fsync(folder)?;
        for file in files {
            match symlinkat(format!("{DATA}/{}", file.name), folder, file.name) {
                Err(Errno::EXIST) => {}
                other => other?,
            }
        }
        for name in names_in(folder.as_fd())? {
            if files.iter().all(|file| file.name != name) && is_shown(folder.as_fd(), &name)? {
                gone(unlinkat(folder, name.as_str(), AtFlags::empty()))?;
            }
        }
        Ok(())
    }

    fn failed(&self, action: &'static str) -> impl Fn(Errno) -> io::Error {
        let path = self.path();
        move |errno| {
            let why = match errno {
                Errno::LOOP | Errno::NOTDIR => "it is no folder, or leads through a symbolic link".to_owned(),
                other => io::Error::from(other).to_string(),
            };
            io::Error::new(io::Error::from(errno).kind(), format!("cannot {action} {}: {why}", path.display()))
        }
    }
}

/// Not the folder itself, nor the one above it, nor one of ours.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']) && name.len() <= NAME_BYTES_MAX
}

/// `None` where there is nothing.
fn open_folder(parent: BorrowedFd<'_>, name: &str) -> Result<Option<OwnedFd>, Errno> {
    match openat(parent, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn make_folder(parent: BorrowedFd<'_>, name: &str, mode: u32) -> Result<OwnedFd, Errno> {
    mkdirat(parent, name, Mode::from_raw_mode(mode))?;
    let folder = openat(parent, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode))?;
    rustix::fs::fsync(parent)?;
    Ok(folder)
}

fn write_new(folder: BorrowedFd<'_>, file: &FolderFile<'_>, ownership: Ownership) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut new = File::from(openat(folder, file.name, flags, Mode::from_raw_mode(0o600))?);
    new.write_all(file.content)?;
    if ownership != Ownership::default() {
        fchown(&new, ownership.user, ownership.group)?;
    }
    new.set_permissions(Permissions::from_mode(file.mode))?;
    new.sync_all()
}

/// The folder that readers are led to, if it is one of ours.
fn current(folder: &OwnedFd) -> Result<Option<String>, Errno> {
    match readlinkat(folder, DATA, Vec::new()) {
        Ok(target) => Ok(text(&target).filter(|target| is_fresh_name(target))),
        Err(Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether `name` is a link that [`SwitchedFolder::show`] made.
fn is_shown(folder: BorrowedFd<'_>, name: &str) -> Result<bool, Errno> {
    match readlinkat(folder, name, Vec::new()) {
        Ok(target) => Ok(target.as_bytes() == format!("{DATA}/{name}").as_bytes()),
        Err(Errno::INVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes what attempts that failed and crashes have left, and files that were replaced.
fn sweep(folder: BorrowedFd<'_>, kept: Option<&str>) -> Result<(), Errno> {
    gone(unlinkat(folder, NEXT, AtFlags::empty()))?;
    for name in names_in(folder)?.into_iter().filter(|name| is_fresh_name(name) && kept != Some(name)) {
        let Some(stale) = open_folder(folder, &name)? else { continue };
        for file in names_in(stale.as_fd())? {
            gone(unlinkat(&stale, file.as_str(), AtFlags::empty()))?;
        }
        gone(unlinkat(folder, name.as_str(), AtFlags::REMOVEDIR))?;
    }
    Ok(())
}

/// Names that are no UTF-8 are none of ours.
fn names_in(folder: BorrowedFd<'_>) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        names.extend(text(entry.file_name()).filter(|name| name != "." && name != ".."));
    }
    Ok(names)
}

fn text(name: &CStr) -> Option<String> {
    OsStr::from_bytes(name.to_bytes()).to_str().map(str::to_owned)
}

fn gone(removed: Result<(), Errno>) -> Result<(), Errno> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// One that collides is refused by the system, and the next attempt has another.
fn fresh_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{FRESH}{:x}", now.as_nanos())
}

fn is_fresh_name(name: &str) -> bool {
    name.strip_prefix(FRESH).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

const DATA: &str = "..data";
const NEXT: &str = "..data.new";
const FRESH: &str = "..files-";
/// Others may look at certificates; what they may not read has a mode of its own.
const FOLDER_MODE: u32 = 0o755;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Linux, `NAME_MAX`.
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests;
