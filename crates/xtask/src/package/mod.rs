//! What is installed on bare metal: a Debian package and a tarball, which hold the same files, from one list.

mod debian;
mod steps;
mod tree;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::programs::{self, Profile};
use crate::{cargo, checkout, librocksdb};

pub use steps::Steps;
pub use tree::{TREE, lay_out};

const NAME: &str = "steeple";
/// What is made of the files.
const ARCHIVES: [&str; 2] = ["the tarball", "the Debian package"];

/// What is packed, and where it goes.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    profile: Profile,
    out: PathBuf,
}

/// A package and a tarball.
#[derive(Debug)]
pub struct Packed {
    pub package: PathBuf,
    pub tarball: PathBuf,
}

/// Builds the programs, then both.
pub fn run(arguments: &[String]) -> Result<()> {
    let Options { profile, out } = Options::parse(arguments)?;
    let programs = programs::build(profile)?;
    let packed = pack(&programs, &out, Steps::shown(TREE.len() + ARCHIVES.len()))?;
    println!("{}\n{}", packed.package.display(), packed.tarball.display());
    Ok(())
}

/// Packs the programs of that folder into `out`.
pub fn pack(programs: &Path, out: &Path, mut steps: Steps) -> Result<Packed> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let stage = tempfile::tempdir_in(out)?;
    let root = stage.path().join("root");
    lay_out(&root, programs, &mut steps)?;
    let version = version()?;
    let architecture = said("dpkg", &["--print-architecture"])?;
    let [of_tarball, of_package] = ARCHIVES;
    steps.begin(of_tarball);
    let tarball = out.join(format!("{NAME}-{version}-{architecture}.tar.gz"));
    archive(&root, &tarball)?;
    steps.begin(of_package);
    let package = out.join(format!("{NAME}_{version}_{architecture}.deb"));
    debian::build(&root, &package, &version, &architecture)?;
    Ok(Packed { package, tarball })
}

/// The same bytes for the same commit and programs: names in order, one time, no owners.
fn archive(root: &Path, tarball: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]);
    tar.arg(format!("--mtime=@{}", committed_at()?));
    // gzip without the time and the name of its input.
    tar.args(["--use-compress-program=gzip -n", "-cf"]).arg(tarball).arg("-C").arg(root).arg(".");
    succeed(tar)
}

/// In Unix seconds.
fn committed_at() -> Result<String> {
    said("git", &["log", "-1", "--format=%ct"])
}

fn version() -> Result<String> {
    let metadata = cargo::metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let server = packages.iter().find(|package| package["name"] == "steeple-server-raft");
    let version = server.and_then(|package| package["version"].as_str());
    Ok(version.context("the server has no version")?.to_owned())
}

/// The first line of a command's output, in the checkout.
fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).current_dir(checkout::root()).output();
    let output = output.with_context(|| format!("running {program}"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn succeed(mut command: Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("running {}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr))
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { profile: Profile::Release, out: librocksdb::cache().join("package") };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--debug" => options.profile = Profile::Dev,
                "--out" => options.out = words.next().context("--out needs a directory")?.into(),
                other => bail!("{other:?} is no argument of `package`; there are --debug and --out DIRECTORY"),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options> {
        Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn release_programs_are_packed_unless_told_otherwise() {
        let debug = Options { profile: Profile::Dev, out: "there".into() };
        assert_eq!(parsed(&["--out", "there", "--debug"]).unwrap(), debug);
        assert_eq!(parsed(&[]).unwrap().profile, Profile::Release);
    }

    #[test]
    fn what_is_no_argument_is_refused() {
        assert!(parsed(&["--out"]).unwrap_err().to_string().contains("directory"));
        assert!(parsed(&["debug"]).unwrap_err().to_string().contains("--debug"));
    }
}
