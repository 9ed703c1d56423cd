//! PostgreSQL, where Debian's package is installed.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::unistd::geteuid;

use crate::{Process, Scratch, until};

/// A cold start on a busy machine.
const READY_MAX: Duration = Duration::from_secs(60);
/// PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

/// A database server with a directory of its own, running or not.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    process: Option<Process>,
    scratch: Scratch,
}

impl Postgres {
    /// A fresh database whose superuser is `superuser`; says that something is not run where PostgreSQL is not
    /// installed.
    pub fn prepare(superuser: &str) -> anyhow::Result<Option<Self>> {
        let Some(programs) = programs() else {
            eprintln!("not run: no PostgreSQL below {DEBIAN} (Debian package postgresql)");
            return Ok(None);
        };
        let postgres = Self { programs, process: None, scratch: Scratch::new()? };
        give_away(postgres.scratch.path())?;
        let made = postgres
            .command("initdb")
            .args(["--auth", "trust", "--username", superuser, "--no-sync", "--pgdata"])
            .arg(postgres.data())
            .output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        Ok(Some(postgres))
    }

    /// Writes a file into the data directory, for nobody else to read.
    pub fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let path = self.data().join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        give_away(&path)
    }

    /// With `settings` such as `ssl=on`. It listens on no port unless they say so.
    pub async fn start(&mut self, settings: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        for &setting in ["listen_addresses=", "fsync=off", "unix_socket_directories=."].iter().chain(settings) {
            command.args(["-c", setting]);
        }
        self.process = Some(Process::start("postgres", command, &self.log())?);
        let ready = until("PostgreSQL is ready", READY_MAX, async || {
            ensure!(std::fs::read_to_string(self.log())?.contains("ready to accept connections"), "not yet");
            Ok::<_, anyhow::Error>(())
        });
        ready.await.map_err(|error| self.failure(&format!("{error:#}")))
    }

    /// Holds its Unix socket.
    pub fn data(&self) -> PathBuf {
        self.scratch.join("data")
    }

    fn failure(&self, what: &str) -> anyhow::Error {
        match &self.process {
            Some(process) => process.failure(what),
            None => anyhow::anyhow!("postgres (not started) {what}"),
        }
    }

    fn log(&self) -> PathBuf {
        self.scratch.join("log")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.scratch.path()).env("LC_ALL", "C");
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).ok()?;
    let mut found = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    found.find(|bin| ["initdb", "postgres"].iter().all(|program| bin.join(program).exists()))
}

/// To the user that PostgreSQL runs as.
fn give_away(path: &Path) -> anyhow::Result<()> {
    if geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).with_context(|| format!("cannot give away {}", path.display()))?;
    }
    Ok(())
}

const DEBIAN: &str = "/usr/lib/postgresql";
