//! Backup and restore of many entries, as an operator does it: by the server's own commands.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use steeple_api::server::entry::{BatchCreateEntryRequest, CountEntriesRequest};
use steeple_api::types;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::scene::Scene;

/// Entries in one call, far below a message's limit.
const BATCH_ENTRIES: u64 = 500;
const WRITERS: u64 = 8;

/// From the command to the file, then from the empty directory to a server that answers with all entries.
pub(super) async fn backup_and_restore(
    scene: &mut Scene,
    entries: u64,
    entry: fn(u64) -> types::Entry,
) -> anyhow::Result<Duration> {
    fill(scene, entries, entry).await?;
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

async fn fill(scene: &Scene, entries: u64, entry: fn(u64) -> types::Entry) -> anyhow::Result<()> {
    let batches = entries.div_ceil(BATCH_ENTRIES);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let admin = scene.server.admin().clone();
        writers.spawn(async move {
            for batch in (writer..batches).step_by(WRITERS as usize) {
                let numbers = batch * BATCH_ENTRIES..((batch + 1) * BATCH_ENTRIES).min(entries);
                let request = BatchCreateEntryRequest { entries: numbers.map(entry).collect(), output_mask: None };
                admin.entries().batch_create_entry(request).await.context("creating entries")?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    Ok(())
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
