//! Every file that is installed, where it comes from, and its mode.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{Steps, succeed};
use crate::checkout;

/// One file, at `path` below the root.
pub struct Installed {
    pub path: &'static str,
    pub mode: u32,
    pub origin: Origin,
}

/// Where a file comes from.
pub enum Origin {
    /// Built, without what only a debugger reads.
    Program(&'static str),
    Checkout(&'static str),
    /// Of the checkout, compressed.
    Compressed(&'static str),
    /// What the program prints for that shell.
    Completion(&'static str, &'static str),
}

use Origin::{Checkout, Completion, Compressed, Program};

const fn file(path: &'static str, origin: Origin) -> Installed {
    Installed { path, mode: 0o644, origin }
}

const fn program(path: &'static str, name: &'static str) -> Installed {
    Installed { path, mode: 0o755, origin: Program(name) }
}

/// In the order of the paths.
pub const TREE: &[Installed] = &[
    file("etc/steeple/agent.conf", Checkout("deploy/package/agent.conf")),
    file("etc/steeple/server.conf", Checkout("deploy/package/server.conf")),
    program("usr/bin/steeple-agent", "steeple-agent"),
    program("usr/bin/steeple-server", "steeple-server"),
    file("usr/lib/systemd/system/steeple-agent.service", Checkout("deploy/systemd/steeple-agent.service")),
    file("usr/lib/systemd/system/steeple-server.service", Checkout("deploy/systemd/steeple-server.service")),
    file("usr/lib/sysusers.d/steeple.conf", Checkout("deploy/systemd/steeple.sysusers")),
    file("usr/share/bash-completion/completions/steeple-agent", Completion("steeple-agent", "bash")),
    file("usr/share/bash-completion/completions/steeple-server", Completion("steeple-server", "bash")),
    file("usr/share/doc/steeple/changelog.gz", Compressed("CHANGELOG.md")),
    file("usr/share/doc/steeple/copyright", Checkout("deploy/package/copyright")),
    file("usr/share/doc/steeple/examples/agent.conf", Checkout("deploy/conf/agent.conf")),
    file("usr/share/doc/steeple/examples/replica.conf", Checkout("deploy/conf/replica.conf")),
    file("usr/share/doc/steeple/examples/server.conf", Checkout("deploy/conf/server.conf")),
    file("usr/share/fish/vendor_completions.d/steeple-agent.fish", Completion("steeple-agent", "fish")),
    file("usr/share/fish/vendor_completions.d/steeple-server.fish", Completion("steeple-server", "fish")),
    file("usr/share/man/man8/steeple-agent.8.gz", Compressed("deploy/man/steeple-agent.8")),
    file("usr/share/man/man8/steeple-server.8.gz", Compressed("deploy/man/steeple-server.8")),
    file("usr/share/zsh/vendor-completions/_steeple-agent", Completion("steeple-agent", "zsh")),
    file("usr/share/zsh/vendor-completions/_steeple-server", Completion("steeple-server", "zsh")),
];

/// Puts all of them below `root`, with programs from the folder that they were built in.
pub fn lay_out(root: &Path, programs: &Path, steps: &mut Steps) -> Result<()> {
    for installed in TREE {
        steps.begin(installed.path);
        let path = root.join(installed.path);
        let folder = path.parent().context("a file in a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        installed.put(&path, programs).with_context(|| installed.path.to_owned())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(installed.mode))?;
    }
    for folder in walk(root)? {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

impl Installed {
    fn put(&self, path: &Path, programs: &Path) -> Result<()> {
        match self.origin {
            Program(name) => {
                let mut strip = Command::new("strip");
                strip.arg("--strip-debug").arg("-o").arg(path).arg(programs.join(name));
                succeed(strip)
            }
            Checkout(source) => {
                std::fs::copy(checkout::root().join(source), path).with_context(|| source.to_owned())?;
                Ok(())
            }
            Compressed(source) => compress(&std::fs::read(checkout::root().join(source)).context(source)?, path),
            Completion(name, shell) => {
                let output = Command::new(programs.join(name)).args(["completion", shell]).output();
                let output = output.with_context(|| format!("running {name}"))?;
                ensure!(output.status.success(), "{name} completion {shell}: {}", output.status);
                Ok(std::fs::write(path, output.stdout)?)
            }
        }
    }
}

/// Without the time, so that the same text gives the same bytes.
fn compress(text: &[u8], path: &Path) -> Result<()> {
    let file = std::fs::File::create(path)?;
    let mut gzip =
        Command::new("gzip").args(["-9", "-n"]).stdin(Stdio::piped()).stdout(file).spawn().context("gzip")?;
    gzip.stdin.take().context("gzip reads")?.write_all(text)?;
    let status = gzip.wait()?;
    ensure!(status.success(), "gzip: {status}");
    Ok(())
}

/// `root` and all folders below it.
fn walk(root: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut folders = vec![root.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        for item in std::fs::read_dir(&folder)? {
            let item = item?;
            if item.file_type()?.is_dir() {
                folders.push(item.path());
            }
        }
        next += 1;
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_there_and_no_file_has_two() {
        let paths: Vec<&str> = TREE.iter().map(|installed| installed.path).collect();
        assert!(paths.is_sorted_by(|a, b| a < b), "{paths:?}");
        for installed in TREE {
            if let Checkout(source) | Compressed(source) = installed.origin {
                assert!(checkout::root().join(source).is_file(), "{source}");
            }
        }
    }

    #[test]
    fn only_programs_are_executable_and_nothing_is_writable_by_others() {
        for Installed { path, mode, origin } in TREE {
            assert_eq!(*mode, if matches!(origin, Program(_)) { 0o755 } else { 0o644 }, "{path}");
            assert_eq!(path.starts_with("usr/bin/"), matches!(origin, Program(_)), "{path}");
        }
    }

    #[test]
    fn units_name_what_is_installed() {
        for installed in TREE.iter().filter(|installed| installed.path.ends_with(".service")) {
            let Checkout(source) = installed.origin else { panic!("{} is written here", installed.path) };
            let unit = std::fs::read_to_string(checkout::root().join(source)).unwrap();
            let words =
                unit.lines().filter(|line| line.starts_with("ExecStart")).flat_map(|line| line.split([' ', '=']));
            let named: Vec<&str> = words.filter_map(|word| word.strip_prefix('/')).collect();
            assert!(named.len() >= 4, "{named:?}");
            for path in named {
                assert!(TREE.iter().any(|other| other.path == path), "{path}");
            }
        }
    }
}
