//! Servers of other projects, from the Go module proxy into the cache.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::progress::say;
use super::workshop::Workshop;

pub struct GoProgram {
    name: &'static str,
    /// With its version.
    module: &'static str,
    /// Tells the tests where it is.
    pub variable: &'static str,
}

/// Let's Encrypt's small ACME server, and an S3 server that keeps objects as files and checks signatures.
pub const ALL: [GoProgram; 2] = [
    GoProgram {
        name: "pebble",
        module: "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1",
        variable: "STEEPLE_PEBBLE",
    },
    GoProgram {
        name: "versitygw",
        module: "github.com/versity/versitygw/cmd/versitygw@v1.8.0",
        variable: "STEEPLE_S3_SERVER",
    },
];

impl GoProgram {
    /// Built when the version is another one than last time. `None` where that fails, as without a network: the tests
    /// that ask for it are not run then.
    pub fn build(&self, workshop: &Workshop) -> Result<Option<PathBuf>> {
        let Self { name, module, .. } = *self;
        let folder = workshop.cache(name)?;
        let (program, stamp) = (folder.join(name), folder.join("version.stamp"));
        if program.exists() && std::fs::read_to_string(&stamp).is_ok_and(|built| built == module) {
            return Ok(Some(program));
        }
        say(&format!("building {module}"));
        let mut install = Command::new("go");
        install.current_dir(&folder).env("GOBIN", &folder).args(["install", module]);
        if let Err(error) = workshop.succeed(&format!("{name}: build"), install) {
            say(&format!("{name} is not there: {error:#}"));
            return Ok(None);
        }
        std::fs::write(stamp, module)?;
        Ok(Some(program))
    }
}
