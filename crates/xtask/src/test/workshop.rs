//! What suites share: the cache with its logs, the tools of other languages, and one build of the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use super::artifacts::{Artifacts, BUILD};
use super::execution::Execution;
use super::progress::Progress;
use super::toolchain::Toolchain;
use crate::{cargo, librocksdb};

pub struct Workshop {
    logs: PathBuf,
    tools: Toolchain,
    /// Built when the first suite asks; `None` if that failed.
    artifacts: OnceLock<Option<Artifacts>>,
    progress: Progress,
}

impl Workshop {
    pub fn open() -> Result<Self> {
        librocksdb::build()?;
        let logs = librocksdb::cache().join("logs");
        std::fs::create_dir_all(&logs)?;
        let tools = Toolchain::find(&librocksdb::cache())?;
        Ok(Self { logs, tools, artifacts: OnceLock::new(), progress: Progress::default() })
    }

    pub fn tools(&self) -> &Toolchain {
        &self.tools
    }

    /// A folder for what a suite keeps from one run to the next.
    pub fn cache(&self, name: &str) -> Result<PathBuf> {
        let folder = librocksdb::cache().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Runs a command with our tools first on the path; `log` names its log file.
    pub fn execute(&self, log: &str, mut command: Command) -> Result<Execution> {
        command.env("PATH", self.tools.path());
        let file = log.replace([':', ' ', '(', ')'], "-") + ".log";
        Execution::run(log, &self.logs.join(file), command, &self.progress)
    }

    /// A step that only has to succeed.
    pub fn succeed(&self, log: &str, command: Command) -> Result<Execution> {
        let execution = self.execute(log, command)?;
        if execution.success {
            return Ok(execution);
        }
        bail!("{log} failed\n{}", execution.tail())
    }

    /// Whoever asks first hears why the build failed.
    pub fn artifacts(&self) -> Result<&Artifacts> {
        let mut failure = None;
        let built = self.artifacts.get_or_init(|| match self.succeed("build", cargo::command(&BUILD)) {
            Ok(built) => Some(Artifacts::read(&built.output)),
            Err(error) => {
                failure = Some(error);
                None
            }
        });
        match failure {
            Some(error) => Err(error),
            None => built.as_ref().context("the build failed, see above"),
        }
    }

    /// A command that knows our programs: every foreign suite starts its server and agent through the fixture.
    pub fn foreign(&self, program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Result<Command> {
        let artifacts = self.artifacts()?;
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env("STEEPLE_FIXTURE", artifacts.program("fixture")?)
            .env("STEEPLE_SERVER", artifacts.program("steeple-server")?)
            .env("STEEPLE_AGENT", artifacts.program("steeple-agent")?);
        Ok(command)
    }
}
