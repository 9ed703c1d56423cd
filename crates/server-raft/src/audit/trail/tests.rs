use std::fs;

use parking_lot::Mutex;
use steeple_core::SystemClock;

use super::*;
use crate::audit::chain::{Record, Report, Verifier};
use crate::audit::facts::put;

/// Node 1 at log index 7, with an anchor that a test may move.
#[derive(Clone, Default)]
struct At(Arc<Mutex<Option<AuditAnchor>>>, Option<Beginning>);

impl Position for At {
    fn node_id(&self) -> u64 {
        1
    }

    fn index_and_term(&self) -> (u64, u64) {
        (7, 2)
    }

    fn anchor(&self) -> Option<AuditAnchor> {
        self.0.lock().clone()
    }

    fn beginning(&self) -> Option<Beginning> {
        self.1.clone()
    }
}

fn settings(file: PathBuf, fail_closed: bool) -> AuditSettings {
    AuditSettings { file, fail_closed, size_max: Some(4 << 10), keep: 2, anchor_interval: Duration::from_secs(1) }
}

fn start(settings: &AuditSettings, at: &At) -> Trail {
    OpenTrail::open(settings).unwrap().start(at.clone(), Arc::new(SystemClock)).unwrap()
}

/// Starts once the thread before has let go of the file.
async fn start_again(settings: &AuditSettings, at: &At) -> Trail {
    let opened = steeple_testkit::until("the file is free", PUT_TIMEOUT, async || OpenTrail::open(settings)).await;
    opened.unwrap().start(at.clone(), Arc::new(SystemClock)).unwrap()
}

fn call(number: usize) -> Vec<Fields> {
    let mut fields = Fields::new();
    put(&mut fields, "type", "audit");
    put(&mut fields, "request_id", format!("call-{number}"));
    vec![fields]
}

fn anchor(head: &Head) -> AuditAnchor {
    let Head { node_id, epoch, sequence, hash } = head.clone();
    AuditAnchor { node_id, epoch, sequence, hash }
}

/// All files of the trail against `anchor`.
fn verified(path: &Path, anchor: Option<AuditAnchor>) -> Report {
    let mut verifier = Verifier::against(anchor, Some(1));
    for file in siblings_of(path).unwrap().into_iter().chain([path.to_owned()]) {
        let bytes = fs::read(&file).unwrap();
        for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let (line, has_end) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
            verifier.line(&file, number as u64 + 1, line, has_end);
        }
    }
    verifier.finish()
}

fn records(path: &Path) -> Vec<Record> {
    let text = fs::read(path).unwrap();
    text.split(|byte| *byte == b'\n').filter_map(|line| Record::parse(line).ok()).collect()
}

#[tokio::test]
async fn the_chain_goes_on_over_restarts_and_torn_ends() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path().join("audit.log"), true);
    let at = At::default();
    let trail = start(&settings, &at);
    trail.put(call(1)).await.unwrap();
    let head = trail.head(true).await.unwrap();
    *at.0.lock() = Some(anchor(&head));
    drop(trail);

    let trail = start_again(&settings, &at).await;
    trail.put(call(2)).await.unwrap();
    drop(trail);
    let free = async || OpenTrail::open(&settings).map(drop);
    steeple_testkit::until("the file is free", PUT_TIMEOUT, free).await.unwrap();
    let mut bytes = fs::read(&settings.file).unwrap();
    bytes.extend_from_slice(b"{\"time\":\"2026-");
    fs::write(&settings.file, bytes).unwrap();

    let trail = start_again(&settings, &at).await;
    trail.put(call(3)).await.unwrap();
    let head = trail.head(false).await.unwrap();
    let report = verified(&settings.file, Some(anchor(&head)));
    assert_eq!((report.breaks, report.torn), (Vec::new(), 1));
    let events: Vec<String> = records(&settings.file)
        .iter()
        .map(|record| record.event().map_or_else(|| record.text("request_id").to_owned(), str::to_owned))
        .collect();
    assert_eq!(events, ["begun", "call-1", "stopped", "opened", "call-2", "torn", "opened", "call-3"]);
    assert_eq!((report.chains.len(), head.sequence), (1, 8));
}

#[tokio::test]
async fn what_is_missing_at_the_start_begins_another_chain_and_stays_missing() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path().join("audit.log"), true);
    let at = At::default();
    let trail = start(&settings, &at);
    for number in 0..3 {
        trail.put(call(number)).await.unwrap();
    }
    let head = trail.head(false).await.unwrap();
    *at.0.lock() = Some(anchor(&head));
    drop(trail);
    let free = async || OpenTrail::open(&settings).map(drop);
    steeple_testkit::until("the file is free", PUT_TIMEOUT, free).await.unwrap();
    let text = fs::read_to_string(&settings.file).unwrap();
    let kept: Vec<&str> = text.split_inclusive('\n').take(2).collect();
    fs::write(&settings.file, kept.concat()).unwrap();

    let trail = start_again(&settings, &at).await;
    trail.put(call(9)).await.unwrap();
    let report = verified(&settings.file, at.0.lock().clone());
    assert_eq!(report.breaks_total, 1, "{:?}", report.breaks);
    assert!(report.breaks[0].text.starts_with("missing: chain "), "{:?}", report.breaks);
    assert_eq!(report.chains.iter().map(|chain| (chain.first, chain.last)).collect::<Vec<_>>(), [(1, 2), (1, 2)]);
    let begun = records(&settings.file).into_iter().find(|record| record.event() == Some("begun"));
    assert!(begun.is_some());
}

#[tokio::test]
async fn full_files_are_rotated_and_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path().join("audit.log"), true);
    let trail = start(&settings, &At::default());
    for number in 0..60 {
        trail.put(call(number)).await.unwrap();
    }
    let head = trail.head(false).await.unwrap();
    assert!(trail.progress().borrow().files > 3, "{:?}", trail.progress().borrow());
    assert_eq!(siblings_of(&settings.file).unwrap().len(), 2);
    let report = verified(&settings.file, Some(anchor(&head)));
    assert_eq!(report.breaks, []);
    assert!(report.chains[0].first > 1, "{:?}", report.chains);
    // One that went by another hand is missed.
    fs::remove_file(&siblings_of(&settings.file).unwrap()[0]).unwrap();
    assert_eq!(verified(&settings.file, Some(anchor(&head))).breaks_total, 1);
}

#[tokio::test]
async fn a_file_that_was_moved_is_followed_by_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path().join("audit.log"), false);
    let trail = start(&settings, &At::default());
    trail.note(call(1));
    trail.reopen().await;
    let before = trail.head(false).await.unwrap();
    assert_eq!(before.sequence, 2, "it was the same file");
    let moved = dir.path().join("moved");
    fs::rename(&settings.file, &moved).unwrap();
    trail.reopen().await;
    trail.note(call(2));
    let head = trail.head(false).await.unwrap();
    assert_eq!(head.sequence, 4);
    let now = records(&settings.file);
    assert_eq!((now[0].event(), now[0].previous), (Some("reopened"), before.hash));
    let both = [fs::read(&moved).unwrap(), fs::read(&settings.file).unwrap()].concat();
    fs::write(&settings.file, both).unwrap();
    assert_eq!(verified(&settings.file, Some(anchor(&head))).breaks, []);

    // Without a word from anybody it is noticed when the head is asked for.
    fs::remove_file(&settings.file).unwrap();
    let head = trail.head(false).await.unwrap();
    let now = records(&settings.file);
    assert_eq!((now.len(), now[0].event(), now[0].head.sequence), (1, Some("reopened"), 5));
    // That it was noticed does not bring it back.
    let report = verified(&settings.file, Some(anchor(&head)));
    assert_eq!(report.breaks_total, 1, "{:?}", report.breaks);
    assert!(
        report.breaks[0].text.contains("begins here with record 5, without records 1 to 4;"),
        "{:?}",
        report.breaks
    );
}

/// `/dev/full` is a disk without room.
#[tokio::test]
async fn a_full_disk_is_told_to_those_who_wait() {
    let settings = settings(PathBuf::from("/dev/full"), true);
    let trail = start(&settings, &At::default());
    let refused = trail.put(call(1)).await.unwrap_err();
    let expected = "the audit record of this call cannot be written to /dev/full: no space left on device; free space";
    assert!(refused.to_string().starts_with(expected), "{refused}");
    assert!(trail.head(false).await.is_err());
    let status = Status::from(refused.clone());
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(status.message().starts_with("the call was refused before it had an effect: "), "{status}");
    assert!(refused.after_the_call().message().contains("may have taken effect"));
}

#[test]
fn a_file_of_another_server_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path().join("audit.log"), true);
    let _held = OpenTrail::open(&settings).unwrap();
    let refused = OpenTrail::open(&settings).unwrap_err().to_string();
    assert!(refused.contains("another server writes it"), "{refused}");
    let nowhere = AuditSettings { file: dir.path().join("none/audit.log"), ..settings };
    let refused = OpenTrail::open(&nowhere).unwrap_err().to_string();
    assert!(refused.starts_with("server.audit.file: open ") && refused.contains("no such file"), "{refused}");
}

#[tokio::test]
async fn the_first_chain_of_a_cluster_that_began_anew_says_so_once() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path().join("audit.log"), false);
    let beginning = Beginning {
        by: "recover apply".to_owned(),
        uid: 7,
        at_ms: 1_700_000_000_000,
        cluster_uuid: [7; 16],
        index: 42,
        backup_id: String::new(),
    };
    let at = At(Arc::default(), Some(beginning));
    let trail = start(&settings, &at);
    let head = trail.head(true).await.unwrap();
    *at.0.lock() = Some(anchor(&head));
    drop(trail);
    // The next start goes on.
    start_again(&settings, &at).await.head(false).await.unwrap();
    let told: Vec<Record> =
        records(&settings.file).into_iter().filter(|record| record.event() == Some("begun_anew")).collect();
    let [told] = &told[..] else { panic!("{told:?}") };
    assert_eq!((told.text("method"), told.number("caller_uid")), ("recover apply", Some(7)));
    assert_eq!(
        (told.text("earlier_cluster"), told.number("earlier_index")),
        ("07070707-0707-0707-0707-070707070707", Some(42))
    );
    assert!(verified(&settings.file, Some(anchor(&head))).breaks.is_empty());
}
