//! SPIRE plugins in Go, on the published spire-plugin-sdk (`interop/go/plugins`).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};

/// Built once for a test program, beside it.
#[derive(Debug)]
pub struct GoPlugins {
    dir: PathBuf,
}

impl GoPlugins {
    /// Without a Go toolchain each test that asks is not run, and says so; `cargo xtask test` brings one along. Plugins
    /// that it cannot build fail the test.
    pub fn build() -> Option<&'static Self> {
        static BUILT: OnceLock<Option<GoPlugins>> = OnceLock::new();
        let build = || Self::build_anew().unwrap_or_else(|error| panic!("building interop/go/plugins: {error:#}"));
        let built = BUILT.get_or_init(build).as_ref();
        if built.is_none() {
            eprintln!("not run: there is no Go toolchain");
        }
        built
    }

    /// By the name of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// As `plugin_checksum` has it.
    pub fn checksum(&self, name: &str) -> anyhow::Result<String> {
        let path = self.path(name);
        let program = std::fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(hex::encode(digest(&SHA256, &program)))
    }

    /// `None` without a toolchain.
    fn build_anew() -> anyhow::Result<Option<Self>> {
        let program = std::env::current_exe()?;
        let dir = program.with_extension("go-plugins");
        std::fs::create_dir_all(&dir)?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop/go/plugins");
        // With a slash at the end: a folder of programs.
        let into = format!("{}/", dir.display());
        // Without symbols: each test program has its own.
        let arguments = ["build", "-ldflags=-s -w", "-o", &into, "./..."];
        let output = match Command::new("go").args(arguments).current_dir(sources).output() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            output => output?,
        };
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(Some(Self { dir }))
    }
}
