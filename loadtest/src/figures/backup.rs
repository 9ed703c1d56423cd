//! Backup and restore of many entries, as an operator does it: by the server's own commands.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use steeple_api::server::entry::CountEntriesRequest;
use steeple_api::types;
use tokio::process::Command;

use super::scene::Scene;
use crate::report::Progress;
use crate::target::create_all;

/// From the command to the file, then from the empty directory to a server that answers with all entries.
pub(super) async fn backup_and_restore(
    scene: &mut Scene,
    entries: u64,
    entry: fn(u64) -> types::Entry,
) -> anyhow::Result<Duration> {
    let admin = scene.server.admin().clone();
    create_all(|| Ok(admin.clone()), entries, entry, &Arc::new(Progress::new())).await?;
    let path = scene.path("bench.backup");
    let _ = std::fs::remove_file(&path);
    let began = Instant::now();
    let socket = scene.server.admin_socket();
    run(scene, &["backup", "create", "-socketPath", text(&socket)?, "-path", text(&path)?]).await?;
    let backup = began.elapsed();

    scene.server.stop().await?;
    let data = scene.server.data_dir();
    let config = data.with_file_name("server.conf");
    std::fs::remove_dir_all(&data)?;
    let began = Instant::now();
    run(scene, &["restore", "-path", text(&path)?, "-config", text(&config)?]).await?;
    scene.server.launch()?;
    scene.server.ready().await?;
    let restore = began.elapsed();

    let found = scene.server.admin().entries().count_entries(CountEntriesRequest::default()).await?.into_inner().count;
    ensure!(u64::try_from(found).ok() == Some(entries), "{found} entries were restored");
    eprintln!("backup {backup:.1?} ({} bytes), restore {restore:.1?}", std::fs::metadata(&path)?.len());
    Ok(backup + restore)
}

async fn run(scene: &Scene, args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(scene.server.program()).args(args).kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {said}", args.join(" "));
    Ok(())
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no text")
}
