//! Reads what [`super::pid_namespace`] decides by: the pid namespaces of the caller and of a container's processes.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::cgroup_file::cgroup_paths;
use super::extract::{Container, Wanted, extract};
use super::locate::{CGROUP_BYTES_MAX, Source, is_gone, read_proc};
use super::pid_namespace::{HostPid, Inhabitants, Init, Masquerade, Owner, PidNamespace, check};

#[derive(Debug, thiserror::Error)]
pub enum InhabitantsError {
    #[error(transparent)]
    Masquerade(#[from] Masquerade),
    #[error(
        "cannot read {path}: {source}; host_pid = \"refuse\" compares pid namespaces, for which the agent must run as \
         root or with CAP_SYS_PTRACE"
    )]
    Namespace { path: String, source: io::Error },
}

/// Refuses a process that is not of the container whose cgroup it is in, under `host_pid = "refuse"`. `shares_host_pid`
/// says that the container is in the host's pid namespace by its specification; `owner` says whose cgroups must have
/// its init.
///
/// The agent itself is its own witness. Blocks on files of `/proc`.
pub fn check_process(
    policy: HostPid,
    pid: i32,
    source: Source,
    shares_host_pid: bool,
    owner: &Owner,
) -> Result<(), InhabitantsError> {
    if policy == HostPid::Allow || u32::try_from(pid) == Ok(std::process::id()) {
        return Ok(());
    }
    if shares_host_pid {
        return Err(Masquerade::HostPidContainer(owner.to_string()).into());
    }
    Ok(check(&inhabitants(pid, owner)?, owner, source != Source::Cgroup)?)
}

fn inhabitants(pid: i32, owner: &Owner) -> Result<Inhabitants, InhabitantsError> {
    let mut inits = Vec::new();
    for pid in all_processes().map_err(|source| InhabitantsError::Namespace { path: "/proc".to_owned(), source })? {
        if !is_within(pid, owner) {
            continue;
        }
        let Some(Standing { depth, pid_within: 1, .. }) = standing(pid) else { continue };
        inits.extend(namespace(pid)?.map(|namespace| Init { namespace, depth }));
    }
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let host = namespace(own)?.unwrap_or(PidNamespace(0));
    Ok(Inhabitants { host, caller: ancestry(pid, host)?, inits })
}

/// The pid namespaces of a process and of those that it descends from, up to the host's; empty when it is gone.
fn ancestry(pid: i32, host: PidNamespace) -> Result<Vec<PidNamespace>, InhabitantsError> {
    let Some(own) = namespace(pid)? else { return Ok(Vec::new()) };
    let (mut namespaces, mut at) = (vec![own], pid);
    while namespaces.last() != Some(&host) && namespaces.len() < ANCESTORS_MAX {
        let parent = standing(at).map(|standing| standing.parent).filter(|parent| *parent > 0);
        let Some(parent) = parent else { break };
        // The node's own processes may be out of reach, and none of theirs is a container's.
        let Ok(Some(namespace)) = namespace(parent) else { break };
        namespaces.push(namespace);
        at = parent;
    }
    Ok(namespaces)
}

fn all_processes() -> io::Result<impl Iterator<Item = i32>> {
    let numbered = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    Ok(fs::read_dir("/proc")?.filter_map(numbered).take(PROCESSES_MAX))
}

/// By the kernel's cgroups alone: mounts can be arranged.
fn is_within(pid: i32, owner: &Owner) -> bool {
    let Ok(file) = read_proc(pid, "cgroup", CGROUP_BYTES_MAX) else { return false };
    // Most processes are elsewhere, which a look at the text tells at little cost.
    match owner {
        Owner::Container(id) if !file.contains(id) => return false,
        Owner::Pod(uid) if !file.contains(uid) && !file.contains(&uid.replace('-', "_")) => return false,
        _ => {}
    }
    let paths = cgroup_paths(&file).unwrap_or_default();
    // What is torn between two containers is in neither.
    let Ok(Some(Container { pod_uid, container_id })) = extract(paths, Wanted::PodAndContainer) else { return false };
    match owner {
        Owner::Container(id) => container_id == *id,
        Owner::Pod(uid) => pod_uid == *uid,
    }
}

/// `None` for a process that is gone.
fn namespace(pid: i32) -> Result<Option<PidNamespace>, InhabitantsError> {
    let path = format!("/proc/{pid}/ns/pid");
    match fs::metadata(&path) {
        Ok(metadata) => Ok(Some(PidNamespace(metadata.ino()))),
        Err(error) if is_gone(&error) => Ok(None),
        Err(source) => Err(InhabitantsError::Namespace { path, source }),
    }
}

/// Where a process stands among others: from `/proc/<pid>/status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    parent: i32,
    /// How many namespaces see it, from ours down to its own.
    depth: usize,
    /// Its pid in its own namespace.
    pid_within: i32,
}

fn standing(pid: i32) -> Option<Standing> {
    parse_standing(&read_proc(pid, "status", STATUS_BYTES_MAX).ok()?)
}

/// The name comes first in the file, and its line breaks are escaped.
fn parse_standing(status: &str) -> Option<Standing> {
    let field = |label: &str| status.lines().find_map(|line| line.strip_prefix(label));
    let pids: Vec<&str> = field("NSpid:")?.split_whitespace().collect();
    Some(Standing {
        parent: field("PPid:")?.trim().parse().ok()?,
        depth: pids.len(),
        pid_within: pids.last()?.parse().ok()?,
    })
}

/// As many as Linux allows on 64-bit machines (`PID_MAX_LIMIT`).
const PROCESSES_MAX: usize = 4 * 1024 * 1024;
/// Deeper trees than this are no container's.
const ANCESTORS_MAX: usize = 256;
/// About 1.5 KiB, and up to 65,536 groups.
const STATUS_BYTES_MAX: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_parent_and_pids() {
        let status = "Name:\tsh\\nNSpid:\t9\nUmask:\t0022\nPPid:\t40\nNSpid:\t41\t7\t1\nNSpgid:\t41\n";
        let standing = parse_standing(status);
        assert_eq!(standing, Some(Standing { parent: 40, depth: 3, pid_within: 1 }));
        assert_eq!(parse_standing("PPid:\t1\n"), None);
    }

    #[test]
    fn the_own_process_stands_where_it_is() {
        let own = i32::try_from(std::process::id()).unwrap();
        let host = namespace(own).unwrap().unwrap();
        assert_eq!(ancestry(own, host).unwrap(), [host]);
        // Whoever the ancestors are, their row ends.
        assert_eq!(ancestry(own, PidNamespace(0)).unwrap()[0], host);
        assert!(standing(own).is_some_and(|standing| standing.depth >= 1));
        assert!(all_processes().unwrap().any(|pid| pid == own));
        assert!(!is_within(own, &Owner::Container("0".repeat(64))));
    }
}
