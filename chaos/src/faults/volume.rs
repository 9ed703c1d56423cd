//! A file system that is small enough to be filled, and whose disk can lose its power.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use steeple_testkit::compile_program;

use super::apart;

const FILLER: &str = "filler";
/// What one write of the filler takes.
const BLOCK_BYTES: usize = 64 * 1024;

/// An ext4 in a file, where there are loop devices, or a tmpfs. The mount namespace that it needs takes it along.
#[derive(Debug)]
pub(crate) struct Volume {
    dir: PathBuf,
    disk: Option<Disk>,
}

#[derive(Debug)]
struct Disk {
    image: PathBuf,
    /// The program that shuts it down.
    shut_down: PathBuf,
}

impl Volume {
    /// Whether this process may have one.
    pub(crate) fn is_possible() -> bool {
        apart::has_mounts()
    }

    /// Mounts it at `dir`, which is made.
    pub(crate) fn mount(dir: &Path, bytes: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let options = format!("size={bytes},mode=0700");
        run("mount", ["-t", "tmpfs", "-o", &options, "tmpfs"].map(OsStr::new), dir)?;
        Ok(Self { dir: dir.to_owned(), disk: None })
    }

    /// On a disk, whose image lies in `beside`, where there are loop devices.
    pub(crate) fn mount_disk(dir: &Path, beside: &Path, bytes: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let Ok(disk) = Disk::new(beside, bytes).and_then(|disk| disk.mount(dir).map(|()| disk)) else {
            return Self::mount(dir, bytes);
        };
        std::fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        Ok(Self { dir: dir.to_owned(), disk: Some(disk) })
    }

    /// Whether it is on a disk, which can lose its power.
    pub(crate) fn is_on_a_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// What the file system has not written is lost at this instant, and nothing more is written.
    pub(crate) fn shut_down(&self) -> anyhow::Result<()> {
        let disk = self.disk.as_ref().context("the volume is on no disk")?;
        let output = Command::new(&disk.shut_down).arg(&self.dir).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// After a [`Self::shut_down`], when nobody uses it any more: what the journal has comes back.
    pub(crate) fn mount_again(&self) -> anyhow::Result<()> {
        let disk = self.disk.as_ref().context("the volume is on no disk")?;
        run("umount", [], &self.dir)?;
        disk.mount(&self.dir)
    }

    /// Writes until `percent` of it is used; 100 leaves nothing.
    pub(crate) fn fill(&self, percent: u64) -> anyhow::Result<()> {
        let mut filler = File::options().create(true).append(true).open(self.dir.join(FILLER))?;
        while self.used_percent()? < percent {
            match filler.write(&[0; BLOCK_BYTES]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error).context("filling the volume"),
            }
        }
        Ok(())
    }

    pub(crate) fn empty(&self) -> io::Result<()> {
        std::fs::remove_file(self.dir.join(FILLER))
    }

    fn used_percent(&self) -> anyhow::Result<u64> {
        let volume = rustix::fs::statvfs(&self.dir)?;
        Ok(volume.f_blocks.saturating_sub(volume.f_bavail) * 100 / volume.f_blocks.max(1))
    }
}

impl Disk {
    fn new(beside: &Path, bytes: u64) -> anyhow::Result<Self> {
        let image = beside.join("disk.ext4");
        File::create(&image)?.set_len(bytes)?;
        // No blocks for root alone: what is full is full.
        run("mkfs.ext4", ["-q", "-F", "-m", "0"].map(OsStr::new), &image)?;
        let shut_down = compile_program(beside, "shut-down", include_str!("shut_down.c"))?;
        Ok(Self { image, shut_down })
    }

    fn mount(&self, dir: &Path) -> anyhow::Result<()> {
        run("mount", [OsStr::new("-o"), OsStr::new("loop"), self.image.as_os_str()], dir)
    }
}

fn run<const N: usize>(program: &str, words: [&OsStr; N], last: &Path) -> anyhow::Result<()> {
    let output = Command::new(program).args(words).arg(last).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

impl Drop for Volume {
    fn drop(&mut self) {
        // A process that still writes there keeps it; the namespace's end takes it then.
        let _ = Command::new("umount").arg("--lazy").arg(&self.dir).output();
    }
}
