//! Let's Encrypt's small ACME server, from the Go module proxy into the cache.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::workshop::Workshop;

/// The program, built when the version is another one than last time. `None` where that fails, as without a network:
/// the tests that ask for it are not run then.
pub fn program(workshop: &Workshop) -> Result<Option<PathBuf>> {
    let folder = workshop.cache("pebble")?;
    let (program, stamp) = (folder.join("pebble"), folder.join("version.stamp"));
    if program.exists() && std::fs::read_to_string(&stamp).is_ok_and(|built| built == MODULE) {
        return Ok(Some(program));
    }
    println!("building {MODULE}");
    let mut install = Command::new("go");
    install.current_dir(&folder).env("GOBIN", &folder).args(["install", MODULE]);
    if let Err(error) = workshop.succeed("pebble: build", install) {
        println!("pebble is not there: {error:#}");
        return Ok(None);
    }
    std::fs::write(stamp, MODULE)?;
    Ok(Some(program))
}

const MODULE: &str = "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1";
