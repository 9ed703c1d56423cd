//! The package and the tarball, built and taken apart again: the files with their modes, the units as systemd reads
//! them, and the commands that the units begin with.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::tally::Tally;
use super::verdict::{Counted, Verdict};
use super::workshop::Workshop;
use crate::package::{Steps, TREE, pack};

/// What the units refer to, and an empty root does not have.
const TARGETS: [&str; 5] = ["basic", "multi-user", "network-online", "shutdown", "sysinit"];
const UNITS: &str = "usr/lib/systemd/system";
const SERVICES: [&str; 2] = ["steeple-agent.service", "steeple-server.service"];
/// Of `systemd-analyze security`, which calls everything below 5 fine: 1.4 and 2.4 of them are used.
const EXPOSURE_MAX: &str = "25";

pub fn run(workshop: &Workshop) -> Result<Verdict> {
    let programs = workshop.artifacts()?.program("steeple-server")?.parent().context("a program in a folder")?;
    let out = tempfile::tempdir()?;
    let packed = pack(programs, out.path(), Steps::silent())?;

    let listed = run_text(Command::new("dpkg-deb").arg("--contents").arg(&packed.package))?;
    let of_package = files(&listed);
    let of_tarball = files(&run_text(Command::new("tar").arg("-tvf").arg(&packed.tarball))?);
    let wanted: BTreeMap<String, String> =
        TREE.iter().map(|installed| (installed.path.to_owned(), mode_text(installed.mode))).collect();
    ensure!(of_package == wanted, "the package holds {of_package:#?}, wanted {wanted:#?}");
    ensure!(of_tarball == wanted, "the tarball holds {of_tarball:#?}, wanted {wanted:#?}");

    let root = out.path().join("installed");
    run_text(Command::new("dpkg-deb").arg("--extract").arg(&packed.package).arg(&root))?;
    for service in SERVICES {
        starts(&root, service)?;
    }
    let mut tally = Tally { passed: 2 + SERVICES.len(), ..Tally::default() };
    match analyze(workshop, &root)? {
        Some(()) => tally.passed += 1,
        None => tally.not_run += 1,
    }
    Ok(Verdict { counted: Counted::Whole(tally), complaint: None })
}

/// From lines as `ls -l` prints them, without folders: path to mode.
fn files(listing: &str) -> BTreeMap<String, String> {
    let files = listing.lines().filter(|line| line.starts_with('-'));
    let parsed = files.filter_map(|line| {
        let mut words = line.split_whitespace();
        let (mode, path) = (words.next()?, words.last()?);
        Some((path.trim_start_matches("./").to_owned(), mode.to_owned()))
    });
    parsed.collect()
}

fn mode_text(mode: u32) -> String {
    let triple = |bits: u32| {
        let letter = |bit: u32, letter: char| if bits & bit == 0 { '-' } else { letter };
        [letter(4, 'r'), letter(2, 'w'), letter(1, 'x')]
    };
    let letters = [mode >> 6 & 7, mode >> 3 & 7, mode & 7].map(triple).concat();
    std::iter::once('-').chain(letters).collect()
}

/// Runs what the unit runs before the service, on the installed files.
fn starts(root: &Path, service: &str) -> Result<()> {
    let unit = std::fs::read_to_string(root.join(UNITS).join(service))?;
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStartPre=")).context("the unit validates")?;
    // Variables that are not set stand for nothing.
    let words: Vec<String> = line.split(' ').filter(|word| !word.starts_with('$')).map(|word| at(root, word)).collect();
    let (program, arguments) = words.split_first().context("a command")?;
    run_text(Command::new(program).args(arguments)).with_context(|| service.to_owned()).map(drop)
}

/// Absolute paths lie below the root.
fn at(root: &Path, word: &str) -> String {
    word.strip_prefix('/').map_or_else(|| word.to_owned(), |path| root.join(path).display().to_string())
}

/// `None` without systemd's own checker.
fn analyze(workshop: &Workshop, root: &Path) -> Result<Option<()>> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return Ok(None);
    }
    for target in TARGETS {
        std::fs::write(root.join(UNITS).join(format!("{target}.target")), format!("[Unit]\nDescription={target}\n"))?;
    }
    // For reloading.
    std::fs::create_dir_all(root.join("bin"))?;
    std::fs::copy("/bin/kill", root.join("bin/kill"))?;
    let in_root = format!("--root={}", root.display());
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", &in_root]).args(SERVICES);
    workshop.succeed("package: units", verify)?;
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=yes", "--no-pager", &format!("--threshold={EXPOSURE_MAX}"), &in_root]);
    security.args(SERVICES);
    workshop.succeed("package: exposure", security)?;
    Ok(Some(()))
}

fn run_text(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("running {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {text}{complaint}", program.display());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_read() {
        let listing = "drwxr-xr-x root/root         0 2026-01-01 00:00 ./usr/\n\
                       -rwxr-xr-x root/root        12 2026-01-01 00:00 ./usr/bin/a\n\
                       -rw-r--r-- root/root         1 2026-01-01 00:00 ./etc/b\n";
        let wanted = [("etc/b", 0o644), ("usr/bin/a", 0o755)].map(|(path, mode)| (path.to_owned(), mode_text(mode)));
        assert_eq!(files(listing), wanted.into());
    }

    #[test]
    fn absolute_paths_lie_below_the_root() {
        assert_eq!(at(Path::new("/r"), "/usr/bin/a"), "/r/usr/bin/a");
        assert_eq!(at(Path::new("/r"), "validate"), "validate");
    }
}
