//! Audit records that cannot be written.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use steeple_api::server::entry::{BatchCreateEntryRequest, ListEntriesRequest};
use steeple_testkit::{Binaries, ExtraLines, Server, ServerSpec, until};
use tokio::process::Command;
use tonic::{Code, Status};

use crate::bench::{Bench, READY_AGAIN_MAX, assert_says, entries, entry, program, spec, until_said};
use crate::disk::small_disks_are_possible;

/// Runs the server with a small file system for its audit file alone.
const AUDIT_ON_A_SMALL_DISK: &str = r#"#!/bin/sh
exec unshare --user --map-root-user --mount sh -c '
    mount -t tmpfs -o size=1m,mode=0700 tmpfs "$DISK" || exit 9
    exec "$@"
' sh "$SERVER" "$@"
"#;
/// What fits into the last block of a full file is still written.
const ATTEMPTS_MAX: usize = 100;

struct Audited {
    server: Server,
    /// The audit file as the server sees it.
    file: PathBuf,
    filler: PathBuf,
}

impl Audited {
    async fn start(bench: &Bench, fail_closed: bool) -> Self {
        let script = bench.scratch.join("audit-on-a-small-disk");
        std::fs::write(&script, AUDIT_ON_A_SMALL_DISK).expect("a script");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let disk = bench.scratch.join("server/audit");
        std::fs::create_dir_all(&disk).expect("a mount point");
        let env = [("DISK", disk.display().to_string()), ("SERVER", program().display().to_string())];
        let env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let line =
            format!("audit {{ file = \"audit/audit.log\" anchor_interval = \"1s\" fail_closed = {fail_closed} }}");
        let extra = ExtraLines { server: line, ..ExtraLines::default() };
        let binaries = Binaries { server: script, agent: PathBuf::new() };
        let spec = ServerSpec { env, ..spec("server") };
        let mut server = Server::start_with(&binaries, bench.scratch.path(), &spec, &extra).expect("the server starts");
        server.ready().await.expect("the server becomes ready");
        let pid = server.process().expect("it runs").pid();
        let folder = PathBuf::from(format!("/proc/{pid}/root{}", disk.display()));
        Self { server, file: folder.join("audit.log"), filler: folder.join("somebody-elses") }
    }

    /// Somebody else takes all room.
    fn fill(&self) {
        let mut file: File = OpenOptions::new().create(true).append(true).open(&self.filler).expect("a file");
        while file.write_all(&[1; 512]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(&self.filler).expect("room");
    }

    async fn create(&self, id: &str) -> Result<(), Status> {
        let request = BatchCreateEntryRequest { entries: vec![entry(id)], output_mask: None };
        let results = self.server.admin().entries().batch_create_entry(request).await?.into_inner().results;
        assert_eq!(results[0].status.as_ref().map(|status| status.code), Some(0));
        Ok(())
    }

    async fn verified(&self) -> Json {
        let mut command = Command::new(program());
        command.args(["audit", "verify", "-output", "json", "-file"]).arg(&self.file);
        command.arg("-socketPath").arg(self.server.admin_socket());
        let output = command.kill_on_drop(true).output().await.expect("it runs");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

fn has(file: &Path, text: &str) -> bool {
    std::fs::read_to_string(file).is_ok_and(|content| content.contains(text))
}

#[tokio::test]
async fn without_room_for_its_record_no_call_has_an_effect() {
    if !small_disks_are_possible() {
        return;
    }
    let bench = Bench::new();
    let audited = Audited::start(&bench, true).await;
    audited.create("before").await.expect("there is room");
    audited.fill();
    let mut created = vec!["before".to_owned()];
    let refused = loop {
        let id = format!("attempt-{}", created.len());
        match audited.create(&id).await {
            Ok(()) => created.push(id),
            Err(status) => break (id, status),
        }
        assert!(created.len() < ATTEMPTS_MAX, "the disk is not full");
    };
    let (mut id, mut status) = refused;
    // An intent may find the last bytes of a block, and its outcome none.
    let mut unknown = BTreeSet::new();
    while status.message().starts_with("the call may have taken effect, and its answer is withheld: ") {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_says(
            status.message(),
            &["the audit record of this call cannot be written to", "no space left on device"],
        );
        unknown.insert(id);
        assert!(unknown.len() < ATTEMPTS_MAX, "the block is not full");
        id = format!("refused-{}", unknown.len());
        status = audited.create(&id).await.expect_err("there is no room");
    }
    let text = "the call was refused before it had an effect: the audit record of this call cannot be written to";
    assert_says(status.message(), &[text, "no space left on device; free space on its volume"]);
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let list = audited.server.admin().entries().list_entries(ListEntriesRequest::default()).await;
    assert_eq!(list.expect_err("nothing is read unseen either").code(), Code::Unavailable);
    until_said(&audited.server, "audit records cannot be written").await;

    audited.make_room();
    let kept = entries(&audited.server).await;
    assert!(!kept.contains(&id) && created.iter().all(|id| kept.contains(id)), "{kept:?}");
    assert!(kept.iter().all(|id| created.contains(id) || unknown.contains(id)), "{kept:?}");
    audited.create("afterwards").await.expect("there is room again");
    until_said(&audited.server, "audit records are written again").await;
    let names = |id: &str| has(&audited.file, &format!("\"entry_id\":\"{id}\""));
    assert!(!names(&id) && names("afterwards"));
    let report = audited.verified().await;
    assert_eq!((&report["intact"], &report["torn"]), (&true.into(), &0.into()), "{report}");
}

#[tokio::test]
async fn without_fail_closed_calls_go_on_and_the_chain_says_what_it_lacks() {
    if !small_disks_are_possible() {
        return;
    }
    let bench = Bench::new();
    let audited = Audited::start(&bench, false).await;
    audited.fill();
    for number in 0..20 {
        audited.create(&format!("unseen-{number}")).await.expect("calls go on");
    }
    until_said(&audited.server, "audit records cannot be written").await;
    audited.make_room();
    audited.create("seen").await.expect("calls go on");
    let is_written = async || has(&audited.file, "\"entry_id\":\"seen\"").then_some(()).ok_or("not yet");
    until("the record", READY_AGAIN_MAX, is_written).await.expect("it is written");
    assert!(has(&audited.file, "\"event\":\"lost\""));
    let report = audited.verified().await;
    assert!(report["intact"] == true && report["lost"].as_u64() > Some(5), "{report}");
    until_said(&audited.server, "audit records are written again").await;
    let log = std::fs::read_to_string(audited.server.log()).expect("a log");
    // A short record may fit between two long ones that do not.
    let said =
        ["audit records cannot be written", "audit records are written again"].map(|said| log.matches(said).count());
    assert!(said[0] == said[1] && said[0] < 10, "once for each change, not for each of twenty calls: {said:?}");
}

#[tokio::test]
async fn an_audit_file_that_cannot_be_opened_stops_the_start() {
    let bench = Bench::new();
    let config = bench.config("nowhere", "audit { file = \"none/audit.log\" }");
    let text = bench.refused(&config, &[]).await;
    assert_says(&text, &["server.audit.file: open ", "none/audit.log: no such file or directory"]);
}
