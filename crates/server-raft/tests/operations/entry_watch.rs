//! Reading one's own writes on any replica, and following entries: three replicas, one of which dies.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use steeple_api::server::bundle::{BatchSetFederatedBundleRequest, GetFederatedBundleRequest};
use steeple_api::server::entry::list_entries_request::Filter;
use steeple_api::server::entry::{
    BatchCreateEntryRequest, BatchDeleteEntryRequest, BatchUpdateEntryRequest, CountEntriesRequest, GetEntryRequest,
    ListEntriesRequest,
};
use steeple_api::steeple::server::{WatchEntriesRequest, WatchEntriesResponse, entry_change};
use steeple_api::types;
use steeple_testkit::{Server, until, workload_entry};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tonic::{Code, Request, Response, Status, Streaming};

use super::site::{Site, binaries, text};

const APPLIED_INDEX: &str = "steeple-applied-index";
const WAIT_FOR_INDEX: &str = "steeple-wait-for-index";
/// Everything that is awaited gives up after this.
const PATIENCE: Duration = Duration::from_secs(60);

fn applied<T>(response: &Response<T>) -> u64 {
    let index = response.metadata().get(APPLIED_INDEX).expect("an index");
    index.to_str().expect("text").parse().expect("a number")
}

fn at_least<T>(index: u64, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(WAIT_FOR_INDEX, index.into());
    request
}

fn entry(id: &str) -> types::Entry {
    let parent = types::Spiffeid { trust_domain: "example.org".to_owned(), path: "/parent".to_owned() };
    let selector = types::Selector { r#type: "unix".to_owned(), value: format!("user:{id}") };
    workload_entry(id, &parent, &format!("/{id}"), vec![selector])
}

async fn create(server: &Server, id: &str) -> u64 {
    let request = BatchCreateEntryRequest { entries: vec![entry(id)], output_mask: None };
    let response = server.admin().entries().batch_create_entry(request).await.expect("created");
    let status = response.get_ref().results[0].status.clone().unwrap_or_default();
    assert_eq!(status.code, 0, "{}", status.message);
    applied(&response)
}

async fn set_bundle(server: &Server, trust_domain: &str) -> u64 {
    let bundle = types::Bundle { trust_domain: trust_domain.to_owned(), ..types::Bundle::default() };
    let request = BatchSetFederatedBundleRequest { bundle: vec![bundle], output_mask: None };
    applied(&server.admin().bundles().batch_set_federated_bundle(request).await.expect("set"))
}

/// From the memory of the replica that is asked: without an index it may be behind.
async fn bundle_at(server: &Server, trust_domain: &str, index: u64) -> Result<u64, Status> {
    let request = GetFederatedBundleRequest { trust_domain: trust_domain.to_owned(), output_mask: None };
    let found = server.admin().bundles().get_federated_bundle(at_least(index, request)).await?;
    assert_eq!(found.get_ref().trust_domain, trust_domain);
    Ok(applied(&found))
}

struct Watching(Streaming<WatchEntriesResponse>);

impl Watching {
    async fn after(server: &Server, after_index: u64) -> Result<Self, Status> {
        Self::filtered(server, after_index, None).await
    }

    async fn filtered(server: &Server, after_index: u64, filter: Option<Filter>) -> Result<Self, Status> {
        let request = WatchEntriesRequest { filter, output_mask: None, after_index };
        Ok(Self(server.admin().watched_entries().watch(request).await?.into_inner()))
    }

    async fn next(&mut self) -> Result<Option<WatchEntriesResponse>, Status> {
        tokio::time::timeout(PATIENCE, self.0.message()).await.expect("a message in time")
    }

    /// The next `count` changes as texts, and where to come back to after them.
    async fn changes(&mut self, count: usize) -> (Vec<String>, u64) {
        let (mut seen, mut resume_index) = (Vec::new(), 0);
        while seen.len() < count {
            let response = self.next().await.expect("an open stream").expect("a message");
            assert!(response.resume_index >= resume_index);
            resume_index = response.resume_index;
            for change in response.changes {
                seen.push(match change.change.expect("a change") {
                    entry_change::Change::Set(entry) => format!("+{} {}", entry.id, entry.revision_number),
                    entry_change::Change::GoneId(id) => format!("-{id}"),
                });
            }
        }
        (seen, resume_index)
    }
}

#[tokio::test]
async fn whoever_names_the_index_of_a_write_sees_it_on_every_replica_and_across_a_change_of_leader() {
    let site = Site::new();
    let mut cluster = site.cluster(3).await;
    for round in 0..12 {
        let (writer, reader) = (&cluster.servers[round % 3], &cluster.servers[(round + 1) % 3]);
        let name = format!("domain-{round}.test");
        let written = set_bundle(writer, &name).await;
        let read = bundle_at(reader, &name, written).await.expect("it is there");
        assert!(read >= written, "read at {read}, written at {written}");
    }

    // Lists, counts, single records and refusals name their index too.
    let server = &cluster.servers[0];
    let written = create(&cluster.servers[1], "first").await;
    let mut entries = server.admin().entries();
    let listed = entries.list_entries(at_least(written, ListEntriesRequest::default())).await.expect("a list");
    assert!(applied(&listed) >= written && listed.get_ref().entries.len() == 1);
    assert!(applied(&entries.count_entries(CountEntriesRequest::default()).await.expect("a count")) >= written);
    let missing = GetEntryRequest { id: "none".to_owned(), output_mask: None };
    let missing = entries.get_entry(missing).await.expect_err("no such entry");
    assert!(missing.metadata().get(APPLIED_INDEX).is_some(), "{missing:?}");

    // Who asks before the write is there waits for it.
    let next = applied(&entries.count_entries(CountEntriesRequest::default()).await.expect("a count")) + 1;
    let (found, written) =
        tokio::join!(bundle_at(server, "later.test", next), set_bundle(&cluster.servers[2], "later.test"));
    assert!(found.expect("it waited") >= written.min(next));

    let leader = cluster.leader().await.expect("a leader");
    let [writer, reader] = [(leader + 1) % 3, (leader + 2) % 3];
    let written = set_bundle(&cluster.servers[writer], "before.test").await;
    cluster.servers[leader].kill9().await.expect("killed");
    bundle_at(&cluster.servers[reader], "before.test", written).await.expect("it is there");
    let written = until("a write under the next leader", PATIENCE, async || {
        let entries = BatchCreateEntryRequest { entries: vec![entry("after")], output_mask: None };
        cluster.servers[writer].admin().entries().batch_create_entry(entries).await.map(|written| applied(&written))
    });
    let written = written.await.expect("a new leader");
    let one = GetEntryRequest { id: "after".to_owned(), output_mask: None };
    let read = cluster.servers[reader].admin().entries().get_entry(at_least(written, one)).await.expect("it is there");
    assert!(applied(&read) >= written);
}

#[tokio::test]
async fn an_index_that_is_not_there_is_refused_with_what_is() {
    let site = Site::new();
    let server = &site.cluster(1).await.servers[0];
    let written = create(server, "one").await;
    let far = at_least(written + 1_000_000, CountEntriesRequest::default());
    let late = server.admin().entries().count_entries(far).await.expect_err("not there");
    assert_eq!(late.code(), Code::Unavailable);
    assert!(late.message().contains(" and not yet "), "{late}");
    let mut nonsense = Request::new(CountEntriesRequest::default());
    nonsense.metadata_mut().insert(WAIT_FOR_INDEX, "soon".parse().expect("a value"));
    let refused = server.admin().entries().count_entries(nonsense).await.expect_err("no index");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = Watching::after(server, written + 1_000_000).await.map(drop).expect_err("of another cluster");
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_watch_goes_on_where_it_was_on_any_replica_and_under_any_leader() {
    let site = Site::new();
    let mut cluster = site.cluster(3).await;
    create(&cluster.servers[0], "old").await;
    let list = cluster.servers[1].admin().entries().list_entries(ListEntriesRequest::default()).await.expect("a list");
    let listed = applied(&list);
    let leader = cluster.leader().await.expect("a leader");
    let [here, there] = [(leader + 1) % 3, (leader + 2) % 3];

    let mut watching = Watching::after(&cluster.servers[here], listed).await.expect("a stream");
    let first = watching.next().await.expect("open").expect("a message");
    assert!(first.changes.is_empty() && first.resume_index >= listed, "the first message says from where on");
    create(&cluster.servers[there], "a").await;
    let update = types::Entry { hint: "h".to_owned(), ..entry("old") };
    let mask = types::EntryMask { hint: true, ..types::EntryMask::default() };
    let request = BatchUpdateEntryRequest { entries: vec![update], input_mask: Some(mask), output_mask: None };
    cluster.servers[leader].admin().entries().batch_update_entry(request).await.expect("updated");
    let (seen, middle) = watching.changes(2).await;
    assert_eq!(seen, ["+a 0", "+old 1"]);
    let request = BatchDeleteEntryRequest { ids: vec!["a".to_owned()] };
    cluster.servers[here].admin().entries().batch_delete_entry(request).await.expect("deleted");
    let (seen, _) = watching.changes(1).await;
    assert_eq!(seen, ["-a"]);

    // From the middle, at another replica; and only what passes a filter.
    let mut again = Watching::after(&cluster.servers[there], middle).await.expect("a stream");
    assert_eq!(again.changes(1).await.0, ["-a"]);
    let filter = Filter { by_hint: Some("h".to_owned()), ..Filter::default() };
    let mut filtered = Watching::filtered(&cluster.servers[there], listed, Some(filter)).await.expect("a stream");
    assert_eq!(filtered.changes(1).await.0, ["+old 1"]);

    cluster.servers[leader].kill9().await.expect("killed");
    let written = until("a write under the next leader", PATIENCE, async || {
        let entries = BatchCreateEntryRequest { entries: vec![entry("b")], output_mask: None };
        cluster.servers[there].admin().entries().batch_create_entry(entries).await
    });
    written.await.expect("a new leader");
    assert_eq!(watching.changes(1).await.0, ["+b 0"], "a change of leader ends no watch");

    // The replica that comes back has no history from before: whoever needs it is told to list.
    cluster.servers[leader].launch().expect("it starts");
    cluster.servers[leader].ready().await.expect("it is back");
    cluster.caught_up(leader).await.expect("it has all");
    let returned = &cluster.servers[leader];
    let refused = until("it serves watches", PATIENCE, async || {
        match Watching::after(returned, listed).await.map(drop).expect_err("not kept") {
            status if status.code() == Code::Unavailable => Err(status),
            status => Ok(status),
        }
    });
    let refused = refused.await.expect("an answer");
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    assert!(refused.message().contains("list the entries again"), "{refused}");
    let list = returned.admin().entries().list_entries(ListEntriesRequest::default()).await.expect("a list");
    let mut again = Watching::after(returned, applied(&list)).await.expect("a stream");
    create(returned, "c").await;
    assert_eq!(again.changes(1).await.0, ["+c 0"]);
}

#[tokio::test]
async fn entry_watch_prints_changes_for_people_and_for_scripts() {
    let site = Site::new();
    let cluster = site.cluster(1).await;
    let server = &cluster.servers[0];
    let before = create(server, "one").await - 1;
    let socket = server.admin_socket();
    let lines = |more: &[&str]| {
        let mut command = Command::new(binaries().server);
        command.args(["entry", "watch", "-socketPath", text(&socket), "-afterIndex", &before.to_string()]).args(more);
        let mut watching = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("it starts");
        let lines = BufReader::new(watching.stdout.take().expect("a pipe")).lines();
        (watching, lines)
    };
    let (_people, mut printed) = lines(&[]);
    let mut seen = Vec::new();
    while !seen.iter().any(|line: &String| line.starts_with("Parent ID")) {
        let line = tokio::time::timeout(PATIENCE, printed.next_line()).await.expect("in time").expect("readable");
        seen.push(line.expect("a line"));
    }
    assert!(seen.contains(&format!("Index {}: set", before + 1)), "{seen:?}");
    assert!(seen.contains(&"Entry ID                : one".to_owned()), "{seen:?}");

    let (_script, mut printed) = lines(&["-output", "json"]);
    let change = loop {
        let line = tokio::time::timeout(PATIENCE, printed.next_line()).await.expect("in time").expect("readable");
        let response: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        if let Some(change) = response["changes"].as_array().and_then(|changes| changes.first()) {
            break change.clone();
        }
    };
    assert_eq!((&change["set"]["id"], &change["index"]), (&"one".into(), &(before + 1).to_string().into()));
}
