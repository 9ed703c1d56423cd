//! The Debian package around the files.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::tree::{Origin, TREE};
use super::{committed_at, said, succeed};

/// Users are there before a service starts. Nothing is started: a trust domain has to be chosen first.
const POSTINST: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = configure ]; then
    systemd-sysusers steeple.conf
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        systemctl try-restart steeple-server.service steeple-agent.service
    fi
fi
";
/// State and users stay: a package that is removed must not take a trust domain along.
const PRERM: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now steeple-server.service steeple-agent.service
fi
";
const POSTRM: &str = "\
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
";

pub fn build(root: &Path, package: &Path, version: &str, architecture: &str) -> Result<()> {
    let folder = root.join("DEBIAN");
    std::fs::create_dir_all(&folder)?;
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
    let depends = dependencies(root)?;
    let control = control(version, architecture, &depends, installed_kib(root)?);
    let conffiles: String = conffiles().map(|path| format!("/{path}\n")).collect();
    let files = [
        ("control", control.as_str(), 0o644),
        ("conffiles", &conffiles, 0o644),
        ("postinst", POSTINST, 0o755),
        ("prerm", PRERM, 0o755),
        ("postrm", POSTRM, 0o755),
    ];
    for (name, text, mode) in files {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    }
    let mut build = Command::new("dpkg-deb");
    build.env("SOURCE_DATE_EPOCH", committed_at()?);
    build.args(["--root-owner-group", "-Zgzip", "--build"]).arg(root).arg(package);
    succeed(build)
}

/// What an operator edits, and an upgrade leaves alone.
fn conffiles() -> impl Iterator<Item = &'static str> {
    TREE.iter().map(|installed| installed.path).filter(|path| path.starts_with("etc/"))
}

fn control(version: &str, architecture: &str, depends: &BTreeSet<String>, installed_kib: u64) -> String {
    let depends: Vec<&str> = depends.iter().map(String::as_str).collect();
    format!(
        "Package: steeple\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: The Steeple authors <steeple@steeple-id.example>\n\
         Installed-Size: {installed_kib}\n\
         Depends: {}, systemd\n\
         Section: net\n\
         Priority: optional\n\
         Homepage: https://github.com/steeple-id/steeple\n\
         Description: SPIFFE identities for workloads, highly available\n \
         steeple-server keeps registration entries and signing keys in a Raft log on every replica, and\n \
         steeple-agent serves the Workload API. Both speak SPIRE's protocols.\n",
        depends.join(", ")
    )
}

/// The packages of the libraries that the programs load; of the C library at least the version that they were linked
/// with.
fn dependencies(root: &Path) -> Result<BTreeSet<String>> {
    let mut depends = BTreeSet::new();
    for program in TREE.iter().filter(|installed| matches!(installed.origin, Origin::Program(_))) {
        for library in libraries(&root.join(program.path))? {
            let package = package_of(&library)?;
            let version = said("dpkg-query", &["-W", "-f=${Version}\\n", &package])?;
            let upstream = version.split('-').next().unwrap_or_default();
            depends.insert(if package == "libc6" { format!("libc6 (>= {upstream})") } else { package });
        }
    }
    ensure!(!depends.is_empty(), "the programs load no library at all");
    Ok(depends)
}

fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("running ldd")?;
    ensure!(output.status.success(), "ldd: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let found = text.lines().filter_map(|line| line.split_once("=> ")?.1.split_whitespace().next());
    Ok(found.filter(|path| path.starts_with('/')).map(PathBuf::from).collect())
}

/// Debian lists a library under the name that it had before `/lib` became a link.
fn package_of(library: &Path) -> Result<String> {
    let real = library.canonicalize()?;
    let plain = real.strip_prefix("/usr").map(|rest| Path::new("/").join(rest)).unwrap_or_else(|_| real.clone());
    for path in [library, &real, &plain] {
        let output = Command::new("dpkg-query").arg("-S").arg(path).output().context("running dpkg-query")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if let Some((package, _)) = text.split_once(':').filter(|_| output.status.success()) {
            return Ok(package.to_owned());
        }
    }
    bail!("no package owns {}: build on Debian", library.display())
}

fn installed_kib(root: &Path) -> Result<u64> {
    let sizes = TREE.iter().map(|installed| Ok(std::fs::metadata(root.join(installed.path))?.len().div_ceil(1024)));
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_file_has_no_empty_line_and_ends_with_one_break() {
        let depends = ["libc6 (>= 2.36)".to_owned()].into();
        let text = control("0.1.0", "amd64", &depends, 12);
        assert!(text.contains("\nDepends: libc6 (>= 2.36), systemd\n"), "{text}");
        assert!(text.lines().all(|line| !line.trim().is_empty()) && text.ends_with("protocols.\n"), "{text}");
        assert!(text.contains("\n steeple-server keeps"), "the description goes on with a space: {text}");
    }

    #[test]
    fn configurations_are_the_operators() {
        let kept: Vec<&str> = conffiles().collect();
        assert_eq!(kept, ["etc/steeple/agent.conf", "etc/steeple/server.conf"]);
    }
}
