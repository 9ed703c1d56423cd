//! Disks that fill up or change bits, under a real server.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use steeple_api::server::entry::{BatchCreateEntryRequest, BatchDeleteEntryRequest, BatchDeleteEntryResponse};
use steeple_api::steeple::server::TransferLeaderRequest;
use steeple_testkit::{Binaries, ClusterRole, Server, ServerSpec, until};
use tonic::{Code, IntoRequest as _, Status};

use crate::bench::{Bench, assert_says, assert_unharmed, create, entries, entry, relaunch, spec, until_said};

/// Enough that the record that is damaged lies before the last block of the log file (32 KiB), where damage cannot
/// pass for the torn tail of a crash.
const ENTRIES: usize = 100;

#[tokio::test]
async fn a_corrupted_log_record_stops_the_start() {
    let bench = Bench::new();
    let mut server = bench.server("server").await;
    for number in 0..ENTRIES {
        create(&server, &format!("kept-{number:03}")).await;
    }
    let kept = entries(&server).await;
    // Orderly or not, the records are in the write-ahead log.
    server.kill9().await.expect("it ends");
    let wal = write_ahead_log(&server);
    let intact = std::fs::read(&wal).expect("a log");
    assert!(intact.len() > 40_000, "the log is too short to be damaged in the middle: {}", intact.len());
    let mut damaged = intact.clone();
    damaged[1_000] ^= 0x10;
    std::fs::write(&wal, damaged).expect("a damaged log");
    let text = bench.refused(&bench.config_of(&server), &[]).await;
    let next =
        "remove this replica from the cluster and let it rejoin with an empty data directory, or restore a backup";
    assert_says(&text, &["is corrupt", "do not delete files by hand", next]);

    // The refusal changed nothing: with the bit back everything is there.
    std::fs::write(&wal, intact).expect("the log");
    relaunch(&mut server).await;
    let ids: Vec<&str> = kept.iter().map(String::as_str).collect();
    assert_unharmed(&server, &ids).await;
}

fn write_ahead_log(server: &Server) -> PathBuf {
    let files = std::fs::read_dir(server.data_dir().join("db")).expect("a database");
    let logs =
        files.map(|file| file.expect("a file").path()).filter(|path| path.extension().is_some_and(|e| e == "log"));
    logs.max_by_key(|path| path.metadata().map(|facts| facts.len()).unwrap_or(0)).expect("a log file")
}

/// Runs the server on a small file system of its own; when it ended there, makes room and runs it again.
const ON_A_SMALL_DISK: &str = r#"#!/bin/sh
ulimit -c 0
exec unshare --user --map-root-user --mount sh -c '
    mount -t tmpfs -o size=80m,mode=0700 tmpfs "$DISK" || exit 9
    "$@"
    echo "ended on the full disk with $?"
    mount -o remount,size=400m "$DISK" || exit 9
    exec "$@"
' sh "$SERVER" "$@"
"#;
/// Bytes of one entry that fills the disk; a batch of them is below the limit of a log entry.
const FILLING_BYTES: usize = 8_000;
const BATCH: usize = 64;
/// More than the disk holds.
const BATCHES_MAX: usize = 400;
/// Elections and changes of the membership on a busy machine.
const SETTLED_MAX: Duration = Duration::from_secs(90);

/// Whether this machine lets a test have file systems of its own; says so where it does not.
fn small_disks_are_possible() -> bool {
    let mut probe = std::process::Command::new("unshare");
    probe.args(["--user", "--map-root-user", "--mount", "true"]).stderr(Stdio::null());
    let possible = probe.status().is_ok_and(|status| status.success());
    if !possible {
        println!("not run: user and mount namespaces are not available here");
    }
    possible
}

/// A server that is ready, on a small file system.
async fn on_a_small_disk(bench: &Bench, cluster: Option<ClusterRole>) -> Server {
    let script = bench.scratch.join("on-a-small-disk");
    std::fs::write(&script, ON_A_SMALL_DISK).expect("a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let disk = bench.scratch.join("server/data");
    std::fs::create_dir_all(&disk).expect("a mount point");
    let env = [("DISK", disk.display().to_string()), ("SERVER", env!("CARGO_BIN_EXE_steeple-server").to_owned())];
    let env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let spec = ServerSpec { env, cluster, ..spec("server") };
    let binaries = Binaries { server: script, agent: PathBuf::new() };
    let mut server = Server::start(&binaries, bench.scratch.path(), &spec).expect("the server starts");
    server.ready().await.expect("the server becomes ready");
    server
}

/// Writes until the server refuses. What it acknowledged, and why it took no more.
async fn write_until_refused(server: &Server) -> (Vec<String>, Status) {
    let mut acknowledged = Vec::new();
    for batch in 0..BATCHES_MAX {
        let ids: Vec<String> = (0..BATCH).map(|number| format!("kept-{batch:03}-{number:02}")).collect();
        let request =
            BatchCreateEntryRequest { entries: ids.iter().map(|id| filling(id)).collect(), output_mask: None };
        match server.admin().entries().batch_create_entry(request.into_request()).await {
            Ok(response) => {
                let results = response.into_inner().results;
                assert!(results.iter().all(|result| result.status.as_ref().is_some_and(|status| status.code == 0)));
                acknowledged.extend(ids);
            }
            Err(status) => return (acknowledged, status),
        }
    }
    panic!("the disk is smaller than that");
}

async fn delete(server: &Server, ids: Vec<String>) -> Result<BatchDeleteEntryResponse, Status> {
    let request = BatchDeleteEntryRequest { ids };
    Ok(server.admin().entries().batch_delete_entry(request.into_request()).await?.into_inner())
}

/// Somebody else takes the rest of the volume, which the test sees through the server's eyes.
fn fill_the_rest(server: &Server) {
    let pid = server.process().expect("it runs").pid();
    let rest = format!("/proc/{pid}/root{}/somebody-elses", server.data_dir().display());
    let mut file = std::fs::File::create(rest).expect("a file on the small disk");
    let block = vec![1; 1 << 16];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&block[..512]).is_ok() {}
}

#[tokio::test]
async fn a_full_disk_refuses_writes_then_ends_the_server_and_loses_nothing_acknowledged() {
    if !small_disks_are_possible() {
        return;
    }
    let bench = Bench::new();
    let mut server = on_a_small_disk(&bench, None).await;
    let (mut acknowledged, refusal) = write_until_refused(&server).await;
    assert!(acknowledged.len() > BATCH, "the disk was full from the start: {refusal}");
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    assert_says(refusal.message(), &["the disk of node 1", "is nearly full", "free space or grow its volume"]);

    // What makes room, and what only reads, goes on.
    let deleted = acknowledged.pop().expect("an entry");
    let results = delete(&server, vec![deleted.clone()]).await.expect("deletions are taken").results;
    assert_eq!(results[0].status.as_ref().map(|status| status.code), Some(0));
    let kept = entries(&server).await;
    assert!(!kept.contains(&deleted) && kept.len() == acknowledged.len());
    until_said(&server, "the data volume is nearly full").await;

    // Even deletions need the log, which ends here.
    fill_the_rest(&server);
    let unknown = || (0..BATCH * 8).map(|number| format!("{number:0250}")).collect::<Vec<_>>();
    let mut attempts = 0;
    while delete(&server, unknown()).await.is_ok() {
        attempts += 1;
        assert!(attempts < BATCHES_MAX, "the disk is smaller than that");
    }
    until_said(&server, "no space left on the volume of").await;
    until_said(&server, "free space or grow it, then restart the server").await;
    until_said(&server, "ended on the full disk with").await;
    server.ready().await.expect("with more space it starts again");
    let kept = entries(&server).await;
    let lost: Vec<_> = acknowledged.iter().filter(|id| kept.binary_search(id).is_err()).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    create(&server, "zz-afterwards").await;
}

#[tokio::test]
async fn a_leader_whose_disk_is_nearly_full_lets_another_one_lead() {
    if !small_disks_are_possible() {
        return;
    }
    let bench = Bench::new();
    let role = |join| Some(ClusterRole { join, sealing_key_path: bench.scratch.join("cluster.key") });
    let small = on_a_small_disk(&bench, role(Vec::new())).await;
    let mut others = Vec::new();
    for name in ["second", "third"] {
        let mut other = bench.launch(&ServerSpec { cluster: role(vec![small.peer_address()]), ..spec(name) });
        other.ready().await.expect("it joins");
        others.push(other);
    }
    let led_by = async |server: &Server| server.admin().status().await.map(|status| status.leader_id);
    let us = small.admin().status().await.expect("a status").node_id;
    let founder_leads = until("the founder leads three voters", SETTLED_MAX, async || {
        let status = small.admin().status().await.map_err(|status| status.to_string())?;
        let voters = status.members.iter().filter(|member| member.voter).count();
        if (status.leader_id, voters) == (us, 3) { Ok(()) } else { Err(format!("{status:?}")) }
    });
    founder_leads.await.expect("as at the beginning");

    // Through the small one until it stands aside; what it refused until then, another one takes.
    let stands_aside = "a replica whose disk has room leads now";
    let said = || std::fs::read_to_string(small.log()).expect("a log").contains(stands_aside);
    let mut attempt = 0;
    while !said() {
        attempt += 1;
        assert!(attempt < BATCHES_MAX, "it leads on a full disk");
        if led_by(&small).await.expect("a status") != us {
            // An election came in between, as on a busy machine it may.
            let _ = small.admin().cluster().transfer_leader(TransferLeaderRequest { node_id: us }).await;
        }
        let entries = (0..BATCH).map(|number| filling(&format!("entry-{attempt:03}-{number:02}"))).collect();
        let request = BatchCreateEntryRequest { entries, output_mask: None };
        if let Err(status) = small.admin().entries().batch_create_entry(request.into_request()).await {
            let expected = [Code::ResourceExhausted, Code::Unavailable, Code::DeadlineExceeded];
            assert!(expected.contains(&status.code()), "{status}");
        }
    }
    until_said(&small, "the data volume is nearly full").await;
    create(&small, "zz-taken-elsewhere").await;
    assert_ne!(led_by(&others[0]).await.expect("a status"), us);
}

fn filling(id: &str) -> steeple_api::types::Entry {
    let mut entry = entry(id);
    entry.selectors[0].value.push_str(&"x".repeat(FILLING_BYTES));
    entry
}
