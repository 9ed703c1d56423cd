//! Real cgroups, in every hierarchy that this machine has mounted, version 1 and 2.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};

/// One cgroup, removed with the value, for which its processes must be gone. It lies below a directory that only this
/// test has.
#[derive(Debug)]
pub struct Cgroup {
    /// In each hierarchy, from the outermost directory that was made to the cgroup itself.
    made: Vec<Vec<PathBuf>>,
}

impl Cgroup {
    /// Whether cgroups can be made here; says on standard error that a test is not run where they cannot.
    pub fn can_be_made(test: &str) -> bool {
        let possible = nix::unistd::Uid::effective().is_root() && Self::make("/probe").is_ok();
        if !possible {
            eprintln!("not run: {test} makes cgroups, for which it must be root on a machine that lets it");
        }
        possible
    }

    /// `path` as a runtime would name it, such as `/kubepods/burstable/pod<uid>/<id>`.
    pub fn make(path: &str) -> anyhow::Result<Self> {
        Self::make_at(&format!("/{}{path}", Self::own_name()))
    }

    /// At exactly this path, for those who look at its beginning. It has to have an [`own_name`](Self::own_name)
    /// somewhere; what is there already stays.
    pub fn make_at(path: &str) -> anyhow::Result<Self> {
        let mut cgroup = Self { made: Vec::new() };
        for hierarchy in hierarchies()? {
            let (mut at, mut made) = (hierarchy, Vec::new());
            for segment in path.split('/').filter(|part| !part.is_empty()) {
                let parent = at.clone();
                at.push(segment);
                match fs::create_dir(&at) {
                    // Others may be at home there.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists && made.is_empty() => continue,
                    made => made.with_context(|| format!("cannot make {}", at.display()))?,
                }
                made.push(at.clone());
                inherit_cpuset(&parent, &at)?;
            }
            cgroup.made.push(made);
        }
        ensure!(!cgroup.made.is_empty(), "no cgroup filesystem is mounted");
        Ok(cgroup)
    }

    /// That no other test has.
    pub fn own_name() -> String {
        format!("steeple-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Moves a process into it, by every hierarchy.
    pub fn hold(&self, pid: u32) -> anyhow::Result<()> {
        for directory in self.made.iter().filter_map(|made| made.last()) {
            let procs = directory.join("cgroup.procs");
            fs::write(&procs, pid.to_string())
                .with_context(|| format!("cannot move {pid} into {}", procs.display()))?;
        }
        Ok(())
    }

    /// The kernel ends whatever takes more memory than this together.
    pub fn limit_memory(&self, bytes: u64) -> anyhow::Result<()> {
        let directories = self.made.iter().filter_map(|made| made.last());
        let mut files = directories.flat_map(|at| ["memory.limit_in_bytes", "memory.max"].map(|file| at.join(file)));
        let file = files.find(|file| file.exists()).context("no memory controller is mounted")?;
        fs::write(&file, bytes.to_string()).with_context(|| format!("cannot write {}", file.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for made in &self.made {
            if let Some((directory, error)) = made.iter().rev().find_map(|at| Some((at, fs::remove_dir(at).err()?))) {
                eprintln!("{} is left behind: {error}", directory.display());
            }
        }
    }
}

/// Where they are mounted.
fn hierarchies() -> io::Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mounted = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let is_cgroup = matches!(after.split(' ').next(), Some("cgroup" | "cgroup2"));
        is_cgroup.then(|| before.split(' ').nth(4).map(PathBuf::from)).flatten()
    });
    Ok(mounted.collect())
}

/// A version 1 cpuset takes no process before it has processors and memory.
fn inherit_cpuset(parent: &Path, child: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if child.join("cpuset.cpu_exclusive").exists() {
            fs::write(child.join(file), fs::read(parent.join(file))?)?;
        }
    }
    Ok(())
}

static NEXT: AtomicU32 = AtomicU32::new(0);
