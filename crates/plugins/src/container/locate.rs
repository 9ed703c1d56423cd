//! From a pid to the container that it is in: reads `/proc` and lets the pure functions decide.

use std::fs::File;
use std::io::{self, Read as _};

use super::cgroup_file::{MalformedCgroup, cgroup_paths};
use super::extract::{Conflict, Container, Wanted, extract};
use super::legacy::extract_legacy;
use super::mount_info::{MalformedMount, cgroup_mount_roots};

/// How a plugin finds containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locator {
    /// Cgroups, then mounts.
    New { verbose: bool },
    /// `use_new_container_locator = false`: cgroups only.
    Legacy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    pub container: Container,
    pub source: Source,
}

/// Which file told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel's word.
    Cgroup,
    /// The mount namespace's, which a privileged workload can arrange.
    MountInfo,
    /// An administrator's pattern over cgroup paths, whose containers may have any names.
    Matcher,
}

#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error("unable to obtain cgroups: {0}")]
    Cgroup(#[from] MalformedCgroup),
    #[error("failed to parse mount info: {0}")]
    MountInfo(#[from] MalformedMount),
    #[error("cannot read /proc/{pid}/{file}: {source}")]
    Read { pid: i32, file: &'static str, source: io::Error },
}

impl Locator {
    /// `None` for a process that is in no container, or gone. Blocks on files of `/proc`.
    pub fn locate(self, pid: i32, wanted: Wanted) -> Result<Option<Located>, LocateError> {
        let cgroups = cgroups_of(pid)?;
        let paths: Vec<&str> = cgroups.iter().map(String::as_str).collect();
        if self == Self::Legacy {
            return Ok(extract_legacy(paths)?.map(|container| Located { container, source: Source::Cgroup }));
        }
        self.tell(pid, "cgroup_path", &paths);
        // A workload can arrange its mounts, so they are not even looked at when the kernel has told.
        if let Some(container) = extract(paths, wanted)? {
            return Ok(Some(Located { container, source: Source::Cgroup }));
        }
        let mounts = read_proc(pid, "mountinfo", MOUNT_INFO_BYTES_MAX)?;
        let roots = cgroup_mount_roots(&mounts)?;
        self.tell(pid, "mount_info_root", &roots);
        Ok(extract(roots, wanted)?.map(|container| Located { container, source: Source::MountInfo }))
    }

    fn tell(self, pid: i32, what: &'static str, paths: &[&str]) {
        if self == (Self::New { verbose: true }) {
            tracing::debug!(pid, what, ?paths, "PID enumerated");
        }
    }
}

/// The paths of a process; none when it is gone. Blocks.
pub fn cgroups_of(pid: i32) -> Result<Vec<String>, LocateError> {
    let file = read_proc(pid, "cgroup", CGROUP_BYTES_MAX)?;
    Ok(cgroup_paths(&file)?.into_iter().map(ToOwned::to_owned).collect())
}

/// A file of a process; empty when the process is gone. Names in it are bytes, of which the ones that matter here are
/// ASCII.
pub(super) fn read_proc(pid: i32, file: &'static str, bytes_max: u64) -> Result<String, LocateError> {
    let failed = |source| LocateError::Read { pid, file, source };
    let mut bytes = Vec::new();
    let read =
        File::open(format!("/proc/{pid}/{file}")).and_then(|opened| opened.take(bytes_max + 1).read_to_end(&mut bytes));
    match read {
        Ok(read) if read as u64 > bytes_max => {
            let message = format!("it has more than {bytes_max} bytes");
            Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, message)))
        }
        Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if is_gone(&error) => Ok(String::new()),
        Err(error) => Err(failed(error)),
    }
}

/// Reading from a process that ended meanwhile fails with ESRCH.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32)
}

/// A dozen hierarchies with paths of at most 4 KiB.
pub(super) const CGROUP_BYTES_MAX: u64 = 64 * 1024;
/// A node's agent may see thousands of mounts, and a workload may make 100,000.
const MOUNT_INFO_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_gone_is_in_no_container() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        for locator in [Locator::Legacy, Locator::New { verbose: true }] {
            assert_eq!(locator.locate(pid, Wanted::PodAndContainer).unwrap(), None);
        }
    }

    #[test]
    fn a_file_has_a_bound() {
        let own = i32::try_from(std::process::id()).unwrap();
        let error = read_proc(own, "cgroup", 1).unwrap_err().to_string();
        assert_eq!(error, format!("cannot read /proc/{own}/cgroup: it has more than 1 bytes"));
    }
}
