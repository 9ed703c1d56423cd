//! Disks that fill up or change bits, under a real server.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
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
    mount -t tmpfs -o size=160m,mode=0700 tmpfs "$DISK" || exit 9
    "$@"
    echo "ended on the full disk with $?"
    mount -o remount,size=400m "$DISK" || exit 9
    exec "$@"
' sh "$SERVER" "$@"
"#;
/// Less than a tenth of the disk, so that it is nearly full, and more than a few writes need.
const LITTLE_BYTES: u64 = 12 << 20;
const BATCH: usize = 64;
/// Each writes more than 128 KiB, and all together more than the disk has: what was preallocated for the log takes some
/// of them when the disk is full.
const ATTEMPTS_MAX: usize = 1_600;
/// Elections and changes of the membership on a busy machine.
const SETTLED_MAX: Duration = Duration::from_secs(90);

/// Whether this machine lets a test have file systems of its own; says so where it does not.
pub fn small_disks_are_possible() -> bool {
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

/// Creates a batch of entries. Their ids, unless the server refuses.
async fn write(server: &Server, batch: usize) -> Result<Vec<String>, Status> {
    let ids: Vec<String> = (0..BATCH).map(|number| format!("kept-{batch:03}-{number:02}")).collect();
    let request = BatchCreateEntryRequest { entries: ids.iter().map(|id| entry(id)).collect(), output_mask: None };
    let results = server.admin().entries().batch_create_entry(request.into_request()).await?.into_inner().results;
    assert!(results.iter().all(|result| result.status.as_ref().is_some_and(|status| status.code == 0)));
    Ok(ids)
}

async fn delete(server: &Server, ids: Vec<String>) -> Result<BatchDeleteEntryResponse, Status> {
    let request = BatchDeleteEntryRequest { ids };
    Ok(server.admin().entries().batch_delete_entry(request.into_request()).await?.into_inner())
}

/// A file of somebody else's on the volume, which the test sees through the server's eyes.
fn somebody_elses(server: &Server) -> (PathBuf, File) {
    let pid = server.process().expect("it runs").pid();
    let folder = PathBuf::from(format!("/proc/{pid}/root{}", server.data_dir().display()));
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(folder.join("somebody-elses")).expect("a file");
    (folder, file)
}

/// Somebody else leaves so little of the volume that a leader should not take more.
fn leave_little(server: &Server) {
    let (folder, mut file) = somebody_elses(server);
    let left = || {
        let volume = statvfs(&folder).expect("a volume");
        volume.blocks_available() * volume.fragment_size()
    };
    let block = vec![1; 1 << 16];
    while left() > LITTLE_BYTES {
        file.write_all(&block).expect("there is room");
    }
}

/// Somebody else takes the rest of it.
fn fill_the_rest(server: &Server) {
    let (_, mut file) = somebody_elses(server);
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
    let mut acknowledged = Vec::new();
    for batch in 0..4 {
        acknowledged.extend(write(&server, batch).await.expect("there is room"));
    }
    leave_little(&server);
    let refusal = write(&server, 4).await.expect_err("nearly full");
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
        assert!(attempts < ATTEMPTS_MAX, "the disk is smaller than that");
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

    leave_little(&small);
    let hands_over = || std::fs::read_to_string(small.log()).expect("a log").contains("handing leadership over");
    let stood_aside = until("it stands aside", SETTLED_MAX, async || {
        let leader = led_by(&small).await.map_err(|status| status.to_string())?;
        if hands_over() && ![0, us].contains(&leader) {
            return Ok(());
        }
        if !hands_over() && leader != us {
            // An election came in between, as on a busy machine it may.
            let _ = small.admin().cluster().transfer_leader(TransferLeaderRequest { node_id: us }).await;
        }
        // A refusal makes it look at once.
        let written = small.admin().create_entry(entry("taken-elsewhere")).await;
        Err(written.err().map_or_else(|| "it takes writes".to_owned(), |error| format!("{error:#}")))
    });
    stood_aside.await.expect("another one leads");
    let taken = until("a write", SETTLED_MAX, async || small.admin().create_entry(entry("taken-elsewhere")).await);
    taken.await.expect("the one that leads has room");
}
