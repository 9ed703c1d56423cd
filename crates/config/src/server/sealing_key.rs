//! Where the sealing key lies.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::cluster::Surroundings;
use super::seal::SealSettings;
use crate::common::absolute;
use crate::notice::Notice;

/// What is told of the disk when the file does not say where the key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    beside: bool,
    within: bool,
    /// The data directory is a volume of its own: what lies beside it may be gone with the container.
    own_volume: bool,
}

/// As `given`, or [`default_path`]. Who keeps the key with the data is warned.
pub(super) fn path(
    given: Option<&str>,
    seal: &SealSettings,
    around: &Surroundings<'_>,
    notices: &mut Vec<Notice>,
) -> PathBuf {
    let path = match given {
        Some(path) => absolute(Path::new(path), around.working_dir),
        None => default_path(around.data_dir, find(around.data_dir)),
    };
    if *seal != SealSettings::File {
        return path;
    }
    let (shown, data) = (path.display(), around.data_dir.display());
    let advice = "set cluster.sealing_key_path to a place that is backed up separately";
    if path.starts_with(around.data_dir) {
        notices.push(Notice::warn(format!(
            "the sealing key {shown} lies in the data directory {data}: whoever copies that directory can read the CA \
             keys; {advice}"
        )));
    } else if path.parent() == around.data_dir.parent() {
        notices.push(Notice::warn(format!(
            "the sealing key {shown} lies beside the data directory {data}: whoever copies both can read the CA keys; \
             {advice}"
        )));
    }
    path
}

/// Beside the data directory, so that a backup of the directory does not take the key along. On a volume of its own,
/// as containers have it, the key is within: beside it there is only what the next container does not have, and without
/// its key the data is lost. A key that is there already stays where it is.
fn default_path(data_dir: &Path, found: Found) -> PathBuf {
    if !found.beside && (found.within || found.own_volume) { within(data_dir) } else { beside(data_dir) }
}

fn find(data_dir: &Path) -> Found {
    Found {
        beside: beside(data_dir).exists(),
        within: within(data_dir).exists(),
        // A directory that cannot be looked at is no volume: the server makes it, or says what is wrong with it.
        own_volume: is_mount_point(data_dir).unwrap_or(false),
    }
}

fn is_mount_point(dir: &Path) -> io::Result<bool> {
    let Some(parent) = dir.parent() else { return Ok(false) };
    Ok(dir.symlink_metadata()?.dev() != parent.metadata()?.dev())
}

fn beside(data_dir: &Path) -> PathBuf {
    let mut name = data_dir.as_os_str().to_owned();
    name.push(".sealing-key");
    PathBuf::from(name)
}

fn within(data_dir: &Path) -> PathBuf {
    data_dir.join("sealing-key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lies_beside_the_data_unless_that_is_another_volume_and_never_moves() {
        let place =
            |beside, within, own_volume| default_path(Path::new("/d/data"), Found { beside, within, own_volume });
        let (beside, within) = (Path::new("/d/data.sealing-key"), Path::new("/d/data/sealing-key"));
        assert_eq!(place(false, false, false), beside);
        assert_eq!(place(false, false, true), within);
        assert_eq!(place(false, true, false), within);
        for own_volume in [false, true] {
            assert_eq!(place(true, false, own_volume), beside);
            assert_eq!(place(true, true, own_volume), beside);
        }
    }

    #[test]
    fn volumes_are_told_from_directories() {
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        assert!(!is_mount_point(Path::new("/")).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        assert!(is_mount_point(&data).is_err());
        std::fs::create_dir(&data).unwrap();
        assert!(!is_mount_point(&data).unwrap());
        // A link to another volume: what lies beside the link is as lasting as the link.
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/proc", &link).unwrap();
        assert!(!is_mount_point(&link).unwrap());
    }
}
