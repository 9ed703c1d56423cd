//! `entry apply` and `why` against a real server.

use serde_json::{Value, json};
use steeple_testkit::{Scratch, Server};

use super::site::{binaries, create, entries, refused, run, spec, text};

struct Bench {
    scratch: Scratch,
    server: Server,
}

impl Bench {
    async fn start() -> Self {
        let scratch = Scratch::new().expect("a directory");
        let mut server = Server::start(&binaries(), scratch.path(), &spec("server")).expect("it starts");
        server.ready().await.expect("it becomes ready");
        std::fs::create_dir(scratch.join("entries")).expect("a directory");
        Self { scratch, server }
    }

    /// A file of the set, with entries for users.
    fn file(&self, name: &str, entries: &[Value]) {
        let path = self.scratch.join("entries").join(name);
        std::fs::write(path, json!({ "entries": entries }).to_string()).expect("a file");
    }

    fn arguments<'a>(&'a self, socket: &'a str, dir: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["entry", "apply", "-socketPath", socket, "-f", dir, "-output", "json"][..], more].concat()
    }

    /// How many were created, updated, deleted, unchanged.
    async fn applied(&self, more: &[&str]) -> [u64; 4] {
        let (socket, dir) = (self.server.admin_socket(), self.scratch.join("entries"));
        let said = run(&self.arguments(text(&socket), text(&dir), more)).await;
        assert!(said.ok, "{}", said.text);
        let count = |member: &str| said.json[member].as_array().expect("a list").len() as u64;
        let unchanged = said.json["unchanged"].as_u64().expect("a number");
        [count("created"), count("updated"), count("deleted"), unchanged]
    }

    async fn apply_refused(&self, more: &[&str]) -> String {
        let (socket, dir) = (self.server.admin_socket(), self.scratch.join("entries"));
        refused(&self.arguments(text(&socket), text(&dir), more)).await
    }

    async fn why(&self, subject: &str) -> (bool, String) {
        let socket = self.server.admin_socket();
        let said = run(&["why", "-socketPath", text(&socket), subject]).await;
        (said.ok, said.text)
    }
}

fn entry(user: &str) -> Value {
    json!({
        "spiffe_id": format!("spiffe://example.org/{user}"),
        "parent_id": "spiffe://example.org/node",
        "selectors": [{ "type": "unix", "value": format!("user:{user}") }],
    })
}

#[tokio::test]
async fn applied_entries_become_what_the_files_say_and_others_stay() {
    let bench = Bench::start().await;
    create(&bench.server, "by-hand").await;
    bench.file("a.json", &[entry("ann"), entry("bob")]);
    bench.file("b.json", &[entry("cid")]);
    assert_eq!(bench.applied(&["-dryRun", "-prune"]).await, [3, 0, 0, 0]);
    assert_eq!(entries(&bench.server).await, ["by-hand"], "a dry run writes nothing");
    assert_eq!(bench.applied(&["-prune"]).await, [3, 0, 0, 0]);
    assert_eq!(bench.applied(&["-prune"]).await, [0, 0, 0, 3], "a second run finds nothing to do");

    let mut longer = entry("ann");
    longer["x509_svid_ttl"] = json!(120);
    longer["federates_with"] = json!(["spiffe://other.test"]);
    bench.file("a.json", &[longer.clone()]);
    // The server refuses a trust domain without a bundle, and nothing is deleted then.
    let failed = bench.apply_refused(&["-prune"]).await;
    assert!(failed.contains("failed to apply 1 of the entries; 1 that were to be deleted are still there"), "{failed}");
    longer["federates_with"] = json!([]);
    bench.file("a.json", &[longer]);
    assert_eq!(bench.applied(&["-prune", "-owner", "another"]).await, [0, 1, 0, 1], "nothing of another owner goes");
    assert_eq!(bench.applied(&["-prune"]).await, [0, 0, 1, 2]);
    let left = entries(&bench.server).await;
    let owned = left.iter().filter(|id| id.starts_with("apply.default.")).count();
    assert_eq!((left.len(), owned), (3, 2), "{left:?}");
}

#[tokio::test]
async fn files_that_do_not_say_what_is_wanted_change_nothing() {
    let bench = Bench::start().await;
    let empty = bench.apply_refused(&["-prune"]).await;
    assert!(empty.contains("no file in it ends in .json"), "{empty}");
    let mut typo = entry("ann");
    typo["x509_svid_tll"] = json!(60);
    bench.file("a.json", &[typo]);
    let refused = bench.apply_refused(&[]).await;
    assert!(refused.contains("a.json: member \"x509_svid_tll\" of entry 0 is unknown"), "{refused}");
    bench.file("a.json", &[entry("ann")]);
    bench.file("b.json", &[entry("ann")]);
    let twice = bench.apply_refused(&[]).await;
    assert!(twice.contains("are the same entry for a server: remove one of them"), "{twice}");
    let owner = bench.apply_refused(&["-owner", "a.b"]).await;
    assert!(owner.contains("-owner \"a.b\" is no name"), "{owner}");
    assert_eq!(entries(&bench.server).await, [""; 0]);
}

#[tokio::test]
async fn why_names_the_hop_that_fails() {
    let bench = Bench::start().await;
    let (whole, text) = bench.why("spiffe://example.org/ann").await;
    assert!(!whole && text.contains("no entry grants spiffe://example.org/ann"), "{text}");
    bench.file("a.json", &[entry("ann")]);
    bench.applied(&[]).await;
    let (whole, text) = bench.why("spiffe://example.org/ann").await;
    assert!(!whole && text.contains("FAILS parent"), "{text}");
    let mut alias = entry("node");
    alias["parent_id"] = json!("spiffe://example.org/spire/server");
    bench.file("a.json", &[entry("ann"), alias]);
    bench.applied(&[]).await;
    let (whole, text) = bench.why("spiffe://example.org/ann").await;
    assert!(!whole && text.contains("FAILS alias") && text.contains("unix:user:node"), "{text}");

    let own = bench.why(&format!("pid:{}", std::process::id())).await;
    assert!(!own.0 && own.1.contains("FAILS selectors"), "{}", own.1);
    let nonsense = bench.why("pid:none").await;
    assert!(!nonsense.0 && nonsense.1.contains("names no process"), "{}", nonsense.1);
    let agent = bench.why("spiffe://example.org/spire/agent/x509pop/1").await;
    assert!(!agent.0 && agent.1.contains("no agent is attested as"), "{}", agent.1);
}
