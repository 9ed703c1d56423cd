//! RocksDB is compiled once, optimised, and linked by every profile: 350 C++ files are not worth compiling again for
//! `dev`, `test` and `release`. The library lies in `$STEEPLE_CACHE/lib` beside a stamp that says what it is made from.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::checkout;

/// What the workspace asks of the `rocksdb` crate.
const FEATURES: &str = "\"bindgen-runtime\", \"lz4\"";
const PACKAGE: &str = "librocksdb-sys";
/// A workspace of its own. RocksDB's own release builds use -O2 as well.
const MANIFEST: &str = r#"
[package]
name = "rocksdb-build"
version = "0.0.0"
edition = "2024"

[workspace]

[profile.release]
opt-level = 2
"#;
/// Between two words about the progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

pub fn build() -> Result<()> {
    let stamp = library_folder().join("librocksdb.stamp");
    let wanted = format!("{PACKAGE} {} features {FEATURES} {}\n", locked_version()?, std::env::consts::ARCH);
    if library().exists() && std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let project = cache().join("rocksdb-build");
    write_project(&project)?;
    let out = compile(&project)?;
    std::fs::create_dir_all(library_folder())?;
    // The stamp goes first and comes last: a copy that was cut short must not look finished.
    let _ = std::fs::remove_file(&stamp);
    std::fs::copy(out.join("librocksdb.a"), library()).context("copying librocksdb.a")?;
    std::fs::write(stamp, wanted)?;
    println!("RocksDB: {}", library().display());
    Ok(())
}

pub fn library() -> PathBuf {
    library_folder().join("librocksdb.a")
}

pub fn library_folder() -> PathBuf {
    cache().join("lib")
}

/// `$STEEPLE_CACHE`, else `steeple` in the user's cache directory.
pub fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user_cache = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    variable("STEEPLE_CACHE")
        .or_else(|| Some(user_cache()?.join("steeple")))
        .unwrap_or_else(|| checkout::root().join("target/cache"))
}

fn locked_version() -> Result<String> {
    let lock = std::fs::read_to_string(checkout::root().join("Cargo.lock")).context("reading Cargo.lock")?;
    let after = lock.split_once(&format!("name = \"{PACKAGE}\"\nversion = \"")).map(|(_, after)| after);
    let version = after.and_then(|after| after.split_once('"')).map(|(version, _)| version.to_owned());
    version.with_context(|| format!("Cargo.lock does not name {PACKAGE}"))
}

/// A package that depends on nothing but the bindings, with this workspace's lock file.
fn write_project(project: &Path) -> Result<()> {
    std::fs::create_dir_all(project.join("src"))?;
    std::fs::write(project.join("src/lib.rs"), "")?;
    let version = locked_version()?;
    // Build metadata ("+11.8.1") is not part of a requirement.
    let requirement = version.split('+').next().unwrap_or(&version);
    let dependency =
        format!("{PACKAGE} = {{ version = \"={requirement}\", default-features = false, features = [{FEATURES}] }}\n");
    let manifest = format!("{MANIFEST}\n[dependencies]\n{dependency}");
    std::fs::write(project.join("Cargo.toml"), manifest)?;
    std::fs::copy(checkout::root().join("Cargo.lock"), project.join("Cargo.lock"))?;
    Ok(())
}

/// Returns the folder that the build script wrote to.
fn compile(project: &Path) -> Result<PathBuf> {
    let target = project.join("target");
    let mut child = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--message-format=json", "--target-dir"])
        .arg(&target)
        .current_dir(project)
        // Otherwise the build script would look for the library instead of compiling it.
        .env_remove("ROCKSDB_LIB_DIR")
        .env_remove("ROCKSDB_STATIC")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("running cargo")?;
    // cargo's own words are wanted only when it fails; its pipe must be emptied all the same.
    let complaints = child.stderr.take().map(|pipe| std::thread::spawn(move || std::io::read_to_string(pipe)));
    let (sender, messages) = channel();
    if let Some(pipe) = child.stdout.take() {
        std::thread::spawn(move || {
            BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
    }
    let out = follow(&messages, &target);
    let status = child.wait()?;
    if !status.success() {
        let text = complaints.and_then(|thread| thread.join().ok()).and_then(Result::ok).unwrap_or_default();
        bail!("compiling RocksDB failed ({status}); it needs g++, make and libclang\n{text}");
    }
    out.with_context(|| format!("cargo did not say where {PACKAGE} was built"))
}

/// Shows progress until cargo closes its end; the answer is in one of its messages.
fn follow(messages: &Receiver<String>, target: &Path) -> Option<PathBuf> {
    let started = Instant::now();
    let mut out = None;
    loop {
        match messages.recv_timeout(PROGRESS_EVERY) {
            Ok(line) => out = out.or_else(|| out_dir(&line)),
            Err(RecvTimeoutError::Timeout) => show(started.elapsed(), objects(target)),
            Err(RecvTimeoutError::Disconnected) => return out,
        }
    }
}

fn show(elapsed: Duration, objects: usize) {
    let terminal = std::io::stdout().is_terminal();
    let (before, after) = if terminal { ("\r", "") } else { ("", "\n") };
    print!("{before}RocksDB: compiling (once), {objects} of about 350 files, {} s{after}", elapsed.as_secs());
    let _ = std::io::stdout().flush();
}

fn out_dir(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let built = message["reason"] == "build-script-executed" && message["package_id"].as_str()?.contains(PACKAGE);
    built.then(|| message["out_dir"].as_str().map(PathBuf::from))?
}

fn objects(target: &Path) -> usize {
    let builds = std::fs::read_dir(target.join("release/build")).into_iter().flatten().flatten();
    let outs = builds.filter(|build| build.file_name().to_string_lossy().starts_with(PACKAGE));
    outs.map(|build| count_objects(&build.path().join("out"))).sum()
}

fn count_objects(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => count_objects(&entry.path()),
            _ => usize::from(entry.path().extension().is_some_and(|found| found == "o")),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_it_built() {
        let message = |package: &str, reason: &str| {
            let id = format!("registry+https://github.com/rust-lang/crates.io-index#{package}");
            serde_json::json!({ "reason": reason, "package_id": id, "out_dir": "/cache/out" }).to_string()
        };
        let executed = "build-script-executed";
        assert_eq!(out_dir(&message("librocksdb-sys@0.19.0+11.8.1", executed)), Some("/cache/out".into()));
        assert_eq!(out_dir(&message("lz4-sys@1.11.1", executed)), None);
        assert_eq!(out_dir(&message("librocksdb-sys@0.19.0+11.8.1", "compiler-artifact")), None);
        assert_eq!(out_dir("   Compiling librocksdb-sys"), None);
    }

    #[test]
    fn the_lock_file_names_the_bindings() {
        assert!(locked_version().unwrap().contains('.'));
    }
}
