//! `unix`: user, group and, when asked, the executable of a workload (SPIRE's unix workload attestor).

use std::io::Read as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use nix::unistd::{Gid, Group, Uid, User};
use procfs::process::Process;
use steeple_core::Selector;
use steeple_core::plugin::{BoxFuture, WorkloadAttestor, WorkloadError, WorkloadProcess};

/// `plugin_data` of the agent's block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnixSettings {
    /// Adds `path` and `sha256`.
    pub discover_workload_path: bool,
    /// Bytes of an executable that may be hashed: 0 means no limit, negative means no hash.
    pub workload_size_limit_bytes: i64,
}

pub struct UnixAttestor {
    settings: UnixSettings,
}

impl UnixAttestor {
    pub const NAME: &str = "unix";

    pub fn new(settings: UnixSettings) -> Self {
        Self { settings }
    }
}

impl WorkloadAttestor for UnixAttestor {
    fn name(&self) -> &str {
        Self::NAME
    }

    /// Reads `/proc` and hashes files, hence a blocking thread.
    fn attest<'a>(&'a self, process: WorkloadProcess) -> BoxFuture<'a, Result<Vec<Selector>, WorkloadError>> {
        let settings = self.settings;
        Box::pin(async move {
            let values = tokio::task::spawn_blocking(move || values(&proc_root(), process, settings))
                .await
                .map_err(|error| WorkloadError(format!("unix attestation stopped: {error}")))??;
            Ok(values.into_iter().filter_map(|value| Selector::new(Self::NAME, value).ok()).collect())
        })
    }
}

fn values(root: &Path, process: WorkloadProcess, settings: UnixSettings) -> Result<Vec<String>, WorkloadError> {
    let gone = |error: procfs::ProcError| WorkloadError(format!("failed to get process {}: {error}", process.pid));
    let dir = root.join(process.pid.to_string());
    let info = Process::new_with_root(dir.clone()).map_err(gone)?;
    let status = info.status().map_err(gone)?;
    let mut values = vec![format!("uid:{}", status.euid)];
    if let Some(user) = User::from_uid(Uid::from_raw(status.euid)).ok().flatten() {
        values.push(format!("user:{}", user.name));
    }
    values.push(format!("gid:{}", status.egid));
    values.extend(group_name(status.egid).map(|name| format!("group:{name}")));
    for gid in status.groups.iter().copied().take(SUPPLEMENTARY_GROUPS_MAX) {
        values.push(format!("supplementary_gid:{gid}"));
        values.extend(group_name(gid).map(|name| format!("supplementary_group:{name}")));
    }
    if settings.discover_workload_path {
        let path = info.exe().map_err(gone)?;
        values.push(format!("path:{}", path.display()));
        if settings.workload_size_limit_bytes >= 0 {
            values
                .push(format!("sha256:{}", executable_sha256(&dir, process.pid, settings.workload_size_limit_bytes)?));
        }
    }
    Ok(values)
}

/// Unresolved names are left out, as in SPIRE.
fn group_name(gid: u32) -> Option<String> {
    Some(Group::from_gid(Gid::from_raw(gid)).ok()??.name)
}

/// An agent in a container may see the host's processes elsewhere (SPIRE behaviour).
fn proc_root() -> PathBuf {
    let named = std::env::var_os("HOST_PROC").filter(|path| !path.is_empty());
    named.map_or_else(|| PathBuf::from("/proc"), PathBuf::from)
}

/// Hashes through `exe` in the process's directory, which names the running file even if its path was replaced.
fn executable_sha256(dir: &Path, pid: i32, limit_bytes: i64) -> Result<String, WorkloadError> {
    let failed = |error: std::io::Error| WorkloadError(format!("SHA256 digest of pid {pid}: {error}"));
    let mut file = std::fs::File::open(dir.join("exe")).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if limit_bytes > 0 && size > limit_bytes.unsigned_abs() {
        return Err(WorkloadError(format!("workload of {size} bytes exceeds size limit ({size} > {limit_bytes})")));
    }
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; HASH_BUFFER_BYTES];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hex::encode(context.finish())),
            read => context.update(&buffer[..read]),
        }
    }
}

/// Linux allows 65,536 groups; a workload with more than this many gets selectors for the first ones only.
const SUPPLEMENTARY_GROUPS_MAX: usize = 1024;
const HASH_BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn own(settings: UnixSettings) -> Result<Vec<String>, WorkloadError> {
        let pid = i32::try_from(std::process::id()).unwrap();
        values(Path::new("/proc"), WorkloadProcess { pid, uid: 0, gid: 0 }, settings)
    }

    #[test]
    fn names_the_own_process() {
        let found = own(UnixSettings { discover_workload_path: true, workload_size_limit_bytes: 0 }).unwrap();
        let uid = nix::unistd::geteuid();
        assert_eq!(found[0], format!("uid:{uid}"));
        assert!(found.iter().any(|value| value.starts_with("gid:")));
        let path = std::env::current_exe().unwrap();
        assert!(found.contains(&format!("path:{}", path.display())));
        let hash = digest::digest(&digest::SHA256, &std::fs::read(&path).unwrap());
        assert!(found.contains(&format!("sha256:{}", hex::encode(hash))));
    }

    #[test]
    fn the_size_limit_is_an_error_and_negative_means_no_hash() {
        let limited = own(UnixSettings { discover_workload_path: true, workload_size_limit_bytes: 1 });
        assert!(limited.unwrap_err().0.contains("exceeds size limit"));
        let none = own(UnixSettings { discover_workload_path: true, workload_size_limit_bytes: -1 }).unwrap();
        assert!(!none.iter().any(|value| value.starts_with("sha256:")));
    }

    #[test]
    fn processes_are_looked_for_where_the_host_shows_them() {
        let (root, pid) = (tempfile::tempdir().unwrap(), i32::try_from(std::process::id()).unwrap());
        let process = WorkloadProcess { pid, uid: 0, gid: 0 };
        assert!(values(root.path(), process, UnixSettings::default()).is_err());
        std::os::unix::fs::symlink(format!("/proc/{pid}"), root.path().join(pid.to_string())).unwrap();
        assert!(values(root.path(), process, UnixSettings::default()).unwrap()[0].starts_with("uid:"));
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let process = WorkloadProcess { pid: i32::try_from(child.id()).unwrap(), uid: 0, gid: 0 };
        assert!(values(Path::new("/proc"), process, UnixSettings::default()).is_err());
    }
}
