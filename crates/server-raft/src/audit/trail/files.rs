//! The files of a trail: `audit.log`, and those before it, `audit.log.1` the latest.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::audit::chain::{LINE_BYTES_MAX, Record, Span, Tail};

/// The file that is written, locked against other processes.
#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    file: File,
    length: u64,
}

/// The end of a file.
#[derive(Debug, PartialEq)]
pub struct End {
    pub tail: Tail,
    /// What stands behind the last line feed, as a crash leaves it.
    pub torn: Vec<u8>,
    /// The last line lacks its line feed.
    pub is_open: bool,
}

/// The oldest files, once there are too many.
pub struct Surplus {
    pub files: Vec<PathBuf>,
    /// Epoch and sequence of the last record in them.
    pub last: Option<(u64, u64)>,
}

impl Files {
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(FILE_MODE);
        let file = match options.clone().create_new(true).open(path) {
            Ok(file) => {
                file.set_permissions(Permissions::from_mode(FILE_MODE))?;
                sync_directory_of(path)?;
                file
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path)?,
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another server writes it"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let length = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, length })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// All of `lines`, or none of them as far as the disk lets it be undone; `false`: the file has to be looked at.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), (io::Error, bool)> {
        match io::Write::write_all(&mut self.file, lines) {
            Ok(()) => {
                self.length += lines.len() as u64;
                Ok(())
            }
            // Nobody was told that they are there, and the next ones must not follow half a line.
            Err(error) => Err((error, self.file.set_len(self.length).is_ok())),
        }
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Whether the file still has its name: somebody may have moved or deleted it.
    pub fn has_its_name(&self) -> bool {
        let here = |facts: fs::Metadata| (facts.dev(), facts.ino());
        match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(named), Ok(open)) => here(named) == here(open),
            _ => false,
        }
    }

    /// The end of what is written, in this file or, while it is empty, in the one before.
    pub fn end(&self) -> io::Result<End> {
        let end = end_of(&self.file)?;
        if end.tail == Tail::Nothing && end.torn.is_empty() {
            for before in siblings_of(&self.path)?.iter().rev() {
                let before = end_of(&File::open(before)?)?;
                if before.tail != Tail::Nothing {
                    return Ok(End { tail: before.tail, ..end });
                }
            }
        }
        Ok(end)
    }

    /// No name is left of the file: what is in it goes with it.
    pub fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|facts| facts.nlink() == 0)
    }

    /// The last record that went by rotation, as the first record of the latest file that knows one tells it.
    pub fn dropped(&self) -> Option<(u64, u64)> {
        let dropped = |file: &File| first_of(file)?.dropped();
        let before = || siblings_of(&self.path).ok()?.iter().rev().find_map(|path| dropped(&File::open(path).ok()?));
        dropped(&self.file).or_else(before)
    }

    /// What stands in each file, the oldest first; `None` of one whose ends are no records.
    pub fn spans(&self) -> io::Result<Vec<Option<Span>>> {
        let span = |file: &File| {
            let (first, Tail::Record(last)) = (first_of(file)?, end_of(file).ok()?.tail) else { return None };
            Some(Span { first: first.head, last: last.head })
        };
        let before = siblings_of(&self.path)?;
        let before = before.iter().map(|path| span(&File::open(path).ok()?));
        Ok(before.chain([span(&self.file)]).collect())
    }

    /// Gives the file the name of the one before, and begins a new one.
    pub fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
        let mut numbered = numbered(&self.path)?;
        // From the oldest on, so that no name is taken.
        numbered.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        for (number, old) in numbered {
            fs::rename(old, with_number(&self.path, number.saturating_add(1)))?;
        }
        fs::rename(&self.path, with_number(&self.path, 1))?;
        self.reopen()?;
        Ok(())
    }

    /// What has to go for `keep` files before this one to stay.
    pub fn surplus(&self, keep: usize) -> io::Result<Surplus> {
        let mut files = siblings_of(&self.path)?;
        files.truncate(files.len().saturating_sub(keep));
        let mut last = None;
        for old in &files {
            if let Tail::Record(record) = end_of(&File::open(old)?)?.tail {
                last = Some((record.head.epoch, record.head.sequence));
            }
        }
        Ok(Surplus { files, last })
    }

    /// The file that has the name now, which may be a new one. `false`: it is the one that is open.
    pub fn reopen(&mut self) -> io::Result<bool> {
        if self.has_its_name() {
            return Ok(false);
        }
        *self = Self::open(&self.path)?;
        Ok(true)
    }
}

/// Those that were rotated away, the oldest first.
pub fn siblings_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut numbered = numbered(path)?;
    numbered.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

fn numbered(path: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory_of(path))? {
        let entry = entry?;
        let number =
            entry.file_name().to_str().and_then(|other| other.strip_prefix(name)?.strip_prefix('.')?.parse().ok());
        found.extend(number.map(|number: u32| (number, entry.path())));
    }
    Ok(found)
}

fn with_number(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn end_of(mut file: &File) -> io::Result<End> {
    let length = file.metadata()?.len();
    // Room for the last whole record and a torn one behind it.
    let from = length.saturating_sub(2 * LINE_BYTES_MAX as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(length - from).read_to_end(&mut bytes)?;
    let (whole, torn) = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&bytes[..0], &bytes[..]),
    };
    let is_open = !torn.is_empty();
    if let Ok(record) = Record::parse(torn) {
        // Only its line feed was cut off.
        return Ok(End { tail: Tail::Record(Box::new(record)), torn: Vec::new(), is_open });
    }
    let last = whole.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let tail = match Record::parse(last) {
        Ok(record) => Tail::Record(Box::new(record)),
        Err(_) if whole.is_empty() && from == 0 => Tail::Nothing,
        Err(_) => Tail::Unreadable,
    };
    Ok(End { tail, torn: torn.to_vec(), is_open })
}

fn first_of(file: &File) -> Option<Record> {
    let mut bytes = vec![0; LINE_BYTES_MAX];
    let read = file.read_at(&mut bytes, 0).ok()?;
    let line = bytes[..read].split(|byte| *byte == b'\n').next()?;
    Record::parse(line).ok()
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

/// Who called what is for the owner alone.
const FILE_MODE: u32 = 0o600;

#[cfg(test)]
mod tests {
    use steeple_core::Timestamp;
    use steeple_telemetry::log::Fields;

    use super::*;
    use crate::audit::chain::{Head, Stamp};

    fn lines(from: &mut Head, count: usize) -> Vec<u8> {
        let mut lines = Vec::new();
        for _ in 0..count {
            from.append(Stamp { at: Timestamp::from_secs(1), index: 1, term: 1 }, &Fields::new(), &mut lines);
        }
        lines
    }

    fn sequence(end: &End) -> Option<u64> {
        match &end.tail {
            Tail::Record(record) => Some(record.head.sequence),
            _ => None,
        }
    }

    #[test]
    fn the_end_is_found_whatever_a_crash_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let mut files = Files::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(files.end().unwrap(), End { tail: Tail::Nothing, torn: Vec::new(), is_open: false });
        let mut head = Head::beginning(1, 5);
        files.append(&lines(&mut head, 3)).unwrap();
        assert_eq!(sequence(&files.end().unwrap()), Some(3));
        files.append(b"{\"time\":").unwrap();
        let end = files.end().unwrap();
        assert_eq!((sequence(&end), end.torn.as_slice(), end.is_open), (Some(3), &b"{\"time\":"[..], true));
        files.append(b"\nnot a record\n").unwrap();
        assert_eq!(files.end().unwrap().tail, Tail::Unreadable);
        let one = lines(&mut head, 1);
        files.append(one.strip_suffix(b"\n").unwrap()).unwrap();
        let end = files.end().unwrap();
        assert_eq!((sequence(&end), end.torn.len(), end.is_open), (Some(4), 0, true), "only the line feed is missing");
        assert_eq!(Files::open(&path).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    }

    #[test]
    fn so_many_files_are_kept_and_the_last_record_that_went_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let mut files = Files::open(&path).unwrap();
        let mut head = Head::beginning(1, 5);
        let mut dropped = Vec::new();
        for _ in 0..4 {
            files.append(&lines(&mut head, 2)).unwrap();
            files.rotate().unwrap();
            let surplus = files.surplus(2).unwrap();
            dropped.push(surplus.last);
            surplus.files.iter().for_each(|path| fs::remove_file(path).unwrap());
            // A server that starts here goes on from the file before.
            assert_eq!((files.length(), sequence(&files.end().unwrap())), (0, Some(head.sequence)));
            let spans = files.spans().unwrap();
            let last = spans.iter().rev().flatten().next().map(|span| (span.first.sequence, span.last.sequence));
            assert_eq!(last, Some((head.sequence - 1, head.sequence)));
        }
        assert_eq!(dropped, [None, None, Some((5, 2)), Some((5, 4))]);
        let names: Vec<_> =
            siblings_of(&path).unwrap().into_iter().map(|path| path.extension().unwrap().to_owned()).collect();
        assert_eq!(names, ["2", "1"], "the oldest first");
        assert!(files.has_its_name());
        fs::rename(&path, dir.path().join("moved")).unwrap();
        assert!(!files.has_its_name() && !files.is_deleted());
        fs::remove_file(dir.path().join("moved")).unwrap();
        assert!(files.is_deleted());
        assert!(files.reopen().unwrap() && files.has_its_name() && !files.is_deleted());
        assert!(!files.reopen().unwrap(), "it is open");
    }
}
