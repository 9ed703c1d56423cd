//! Audit files that cannot be changed unseen.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value as Json;
use steeple_api::server::entry::BatchDeleteEntryRequest;
use steeple_testkit::{Cluster, ExtraLines, Server, until};

use crate::site::{Said, Site, binaries, create, run, spec, text};

const SHOWN_MAX: Duration = Duration::from_secs(60);

/// In the directory of each server.
fn audited(more: &str) -> ExtraLines {
    let server = format!("audit {{ file = \"audit.log\" anchor_interval = \"1s\" {more} }}");
    ExtraLines { server, ..ExtraLines::default() }
}

async fn alone(site: &Site, more: &str) -> Server {
    let mut server =
        Server::start_with(&binaries(), site.scratch.path(), &spec("alone"), &audited(more)).expect("it starts");
    server.ready().await.expect("it is ready");
    server
}

fn file_of(site: &Site, server: &Server) -> PathBuf {
    site.scratch.join(server.name()).join("audit.log")
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).expect("an audit file").lines().map(str::to_owned).collect()
}

fn records(path: &Path) -> Vec<Json> {
    lines(path).iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Against the server's own files, or `files` of another one.
async fn verify(server: &Server, files: &[&Path]) -> Said {
    let socket = server.admin_socket();
    let named: Vec<&str> = files.iter().flat_map(|file| ["-file", text(file)]).collect();
    run(&[&["audit", "verify", "-output", "json", "-socketPath", text(&socket)], &named[..]].concat()).await
}

async fn verify_offline(file: &Path) -> Said {
    run(&["audit", "verify", "-file", text(file)]).await
}

/// The part of the last chain that the cluster knows.
async fn anchored(server: &Server) -> Result<u64, String> {
    let said = verify(server, &[]).await;
    let chains = said.json["chains"].as_array().cloned().unwrap_or_default();
    let last = chains.last().and_then(|chain| chain["anchored"].as_u64());
    last.filter(|_| said.ok).ok_or(said.text)
}

#[tokio::test]
async fn changed_removed_and_inserted_lines_are_found() {
    let site = Site::new();
    let mut server = alone(&site, "").await;
    let file = file_of(&site, &server);
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    for name in ["one", "two", "three"] {
        create(&server, name).await;
    }
    until("an anchor", SHOWN_MAX, async || anchored(&server).await).await.expect("the head is in the log");
    server.stop().await.expect("it stops");

    let whole = lines(&file);
    let said = verify_offline(&file).await;
    assert!(said.ok && said.text.contains(&format!("Records       : {}", whole.len())), "{}", said.text);
    let last: Json = serde_json::from_str(whole.last().expect("a line")).expect("JSON");
    assert_eq!((&last["event"], &last["chain"]["node"]), (&"stopped".into(), &1.into()));

    let at = whole.iter().position(|line| line.contains("\"entry_id\":\"two\"")).expect("the record of an entry");
    let copy = site.scratch.join("copy.log");
    let damaged = async |what: &str, change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = whole.clone();
        change(&mut lines);
        fs::write(&copy, lines.join("\n") + "\n").expect("a copy");
        let said = verify_offline(&copy).await;
        assert!(!said.ok, "{what}: {}", said.text);
        said.text
    };
    let place = |line: usize| format!("{}:{}: ", copy.display(), line + 1);
    let found = damaged("changed", &|lines| lines[at] = lines[at].replace("\"two\"", "\"2wo\"")).await;
    assert!(found.contains(&format!("{}changed", place(at))), "{found}");
    let found = damaged("removed", &|lines| drop(lines.remove(at))).await;
    assert!(found.contains(&format!("{}missing: record {} follows record {at}", place(at), at + 2)), "{found}");
    let found = damaged("repeated", &|lines| lines.insert(at + 1, lines[at - 1].clone())).await;
    assert!(found.contains(&format!("{}inserted or moved", place(at + 1))), "{found}");
    let found = damaged("moved", &|lines| lines.swap(at, at + 1)).await;
    assert!(found.contains(&place(at)) && found.contains("in 3 places"), "{found}");

    let shown = run(&["audit", "show", "-file", text(&file), "-method", "BatchCreateEntry", "-output", "json"]).await;
    assert_eq!(shown.text.lines().filter(|line| line.contains("\"entry_id\":\"two\"")).count(), 1, "{}", shown.text);
    assert!(!shown.text.contains("GetInfo"), "{}", shown.text);
}

#[tokio::test]
async fn an_end_that_was_cut_off_is_missed_by_the_cluster() {
    let site = Site::new();
    let mut server = alone(&site, "").await;
    let file = file_of(&site, &server);
    create(&server, "seen").await;
    create(&server, "covered-up").await;
    server.stop().await.expect("it stops");
    let whole = lines(&file);
    let cut = whole.iter().position(|line| line.contains("\"entry_id\":\"covered-up\"")).expect("its record");
    fs::write(&file, whole[..cut].join("\n") + "\n").expect("a shorter file");
    // The chain alone cannot know.
    assert!(verify_offline(&file).await.ok);

    server.launch().expect("it starts");
    server.ready().await.expect("it is ready");
    let said = verify(&server, &[]).await;
    let expected = format!("ends with record {cut}, and the cluster knows record {}", whole.len());
    assert!(!said.ok && said.text.contains(&expected), "{}", said.text);
    assert_eq!(said.json["breaks"][0]["kind"], "missing");
    let log = fs::read_to_string(server.log()).expect("a log");
    assert!(log.contains("the audit chain is broken; see `audit verify`"), "{log}");
    // What follows is a chain of its own, and it does not heal the one before.
    create(&server, "afterwards").await;
    assert!(!verify(&server, &[]).await.ok);

    // Nor does a file that is gone.
    server.stop().await.expect("it stops");
    fs::remove_file(&file).expect("no file");
    server.launch().expect("it starts");
    server.ready().await.expect("it is ready");
    let said = verify(&server, &[]).await;
    assert!(!said.ok && said.json["breaks_total"] == 2, "{}", said.text);
}

#[tokio::test]
async fn a_killed_server_goes_on_with_its_chain() {
    let site = Site::new();
    let mut server = alone(&site, "fail_closed = true").await;
    let file = file_of(&site, &server);
    let admin = server.admin().clone();
    let stream = tokio::spawn(async move {
        let mut acknowledged = 0_usize;
        while admin.create_join_token(Duration::from_secs(60)).await.is_ok() {
            acknowledged += 1;
        }
        acknowledged
    });
    let enough = async || (lines(&file).len() > 40).then_some(()).ok_or("too few records");
    until("records", SHOWN_MAX, enough).await.expect("calls are on record");
    server.kill9().await.expect("it ends");
    let acknowledged = stream.await.expect("calls");
    let done = |record: &&Json| record["method"] == "CreateJoinToken" && record["status"] == "success";
    let on_record = records(&file).iter().filter(done).count();
    assert!(on_record >= acknowledged, "{on_record} of {acknowledged} answers are on record");

    // As if the machine had ended in the middle of a record.
    let mut bytes = fs::read(&file).expect("an audit file");
    bytes.extend_from_slice(b"{\"time\":\"2026-01-02T03:04");
    fs::write(&file, bytes).expect("a torn end");
    assert!(verify_offline(&file).await.text.contains("torn: the line has no end"));
    server.launch().expect("it starts");
    server.ready().await.expect("it is ready");
    let known = until("an anchor", SHOWN_MAX, async || anchored(&server).await).await.expect("an anchor");
    let said = verify(&server, &[]).await;
    assert!(
        said.ok && said.json["torn"] == 1 && said.json["chains"].as_array().is_some_and(|c| c.len() == 1),
        "{}",
        said.text
    );
    assert!(known > 40, "{known}");
    let intents = records(&file).iter().filter(|record| record["stage"] == "intent").count();
    assert!(intents >= on_record, "{intents} intents, {on_record} outcomes");
}

#[tokio::test]
async fn rotation_keeps_so_many_files_and_the_chain_goes_over_them() {
    let site = Site::new();
    let mut server = alone(&site, "max_size_mib = 1 keep = 2").await;
    let file = file_of(&site, &server);
    let sibling = |number: u32| PathBuf::from(format!("{}.{number}", file.display()));
    let mut rounds = 0;
    let has_dropped = || records(&file).first().is_some_and(|first| first["dropped_sequence"].is_u64());
    while !has_dropped() {
        let ids = (0..500).map(|number| format!("{rounds:03}-{number:0200}")).collect();
        let request = BatchDeleteEntryRequest { ids };
        server.admin().entries().batch_delete_entry(request).await.expect("an answer");
        rounds += 1;
        assert!(rounds < 60, "no file was dropped");
    }
    let are_gone = async || (!sibling(3).exists()).then_some(()).ok_or("it is there");
    until("the oldest file is gone", SHOWN_MAX, are_gone).await.expect("two are kept");
    assert!(sibling(1).exists() && sibling(2).exists());
    until("an anchor", SHOWN_MAX, async || anchored(&server).await).await.expect("whole over three files");
    server.stop().await.expect("it stops");
    assert!(verify_offline(&file).await.ok);
    let files = [sibling(2), sibling(1), file.clone()];
    let named: Vec<&str> = files.iter().flat_map(|file| ["-file", text(file)]).collect();
    assert!(run(&[&["audit", "verify"], &named[..]].concat()).await.ok);
    fs::remove_file(sibling(2)).expect("the oldest is gone");
    let said = verify_offline(&file).await;
    assert!(!said.ok && said.text.contains("missing: chain "), "{}", said.text);
}

#[tokio::test]
async fn a_signal_opens_the_file_anew() {
    let site = Site::new();
    let server = alone(&site, "max_size_mib = 0").await;
    let file = file_of(&site, &server);
    create(&server, "before").await;
    let moved = site.scratch.join("moved.log");
    fs::rename(&file, &moved).expect("a new name");
    let pid = Pid::from_raw(server.process().expect("it runs").pid());
    kill(pid, Signal::SIGUSR2).expect("a signal");
    until("a new file", SHOWN_MAX, async || fs::metadata(&file)).await.expect("it is made");
    create(&server, "after").await;
    let is_there = async || lines(&file).iter().any(|line| line.contains("\"after\"")).then_some(()).ok_or("not yet");
    until("the record", SHOWN_MAX, is_there).await.expect("in the new file");
    assert_eq!(records(&file)[0]["event"], "reopened");
    let said = verify(&server, &[&moved, &file]).await;
    assert!(said.ok, "{}", said.text);
    let said = verify(&server, &[]).await;
    assert!(!said.ok && said.text.contains("the file before was moved or deleted"), "name all of them: {}", said.text);
}

#[tokio::test]
async fn a_file_that_is_deleted_under_the_server_is_missed() {
    let site = Site::new();
    let mut server = alone(&site, "").await;
    let file = file_of(&site, &server);
    create(&server, "covered-up").await;
    until("an anchor", SHOWN_MAX, async || anchored(&server).await).await.expect("the head is in the log");
    fs::remove_file(&file).expect("no file");
    create(&server, "afterwards").await;
    until("a new file", SHOWN_MAX, async || fs::metadata(&file)).await.expect("it is made at the next anchor");
    let said = verify(&server, &[]).await;
    assert!(!said.ok && said.json["breaks"][0]["kind"] == "missing", "{}", said.text);
    assert!(said.text.contains(", without records 1 to "), "{}", said.text);
    let breaks = || {
        let log = fs::read_to_string(server.log()).expect("a log");
        log.matches("the audit chain is broken; see `audit verify`").count()
    };
    assert_eq!(breaks(), 1);

    // Nor does a restart forget it, or a file of somebody's making take its place.
    server.stop().await.expect("it stops");
    server.launch().expect("it starts");
    server.ready().await.expect("it is ready");
    assert!(!verify(&server, &[]).await.ok);
    let log = fs::read_to_string(server.log()).expect("a log");
    assert!(log.contains("are in no file"), "{log}");
    let empty = site.scratch.join("empty.log");
    fs::write(&empty, "").expect("an empty file");
    let said = verify(&server, &[&empty]).await;
    assert!(!said.ok && said.text.contains("missing: there is no record here"), "{}", said.text);
}

#[tokio::test]
async fn each_replica_can_vouch_for_the_files_of_the_others() {
    let site = Site::new();
    let mut cluster =
        Cluster::start_with(&binaries(), site.scratch.path(), 3, &spec(""), &audited("")).await.expect("a cluster");
    for server in &cluster.servers {
        create(server, server.name()).await;
        until("an anchor", SHOWN_MAX, async || anchored(server).await).await.expect("each has an anchor");
    }
    let [_, second, third] = [0, 1, 2].map(|at| file_of(&site, &cluster.servers[at]));
    let of_second = records(&second);
    assert!(of_second.iter().any(|record| record["entry_id"] == "server-2" && record["status"] == "success"));
    assert!(of_second.last().is_some_and(|record| record["chain"]["index"].as_u64() > Some(0)));

    // The end of the second one is anchored when it stops; the third replica knows it.
    cluster.servers[1].stop().await.expect("it stops");
    let said = verify(&cluster.servers[2], &[&second]).await;
    assert!(said.ok && said.json["chains"][0]["anchored"] == said.json["chains"][0]["last"], "{}", said.text);
    let whole = lines(&second);
    let copy = site.scratch.join("copy.log");
    fs::write(&copy, whole[..whole.len() - 1].join("\n") + "\n").expect("a copy");
    let said = verify(&cluster.servers[2], &[&copy]).await;
    assert!(!said.ok && said.text.contains("missing: chain "), "{}", said.text);
    let said = verify(&cluster.servers[0], &[&third]).await;
    assert!(said.ok, "{}", said.text);
}
