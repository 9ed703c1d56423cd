//! The push stream on the wire: who is told what, who is sent away, and what a slow agent gets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use steeple_api::convert::{bundle_from_wire, id_to_wire};
use steeple_api::push::{EntryVersion, Held, PROTOCOL, Piece, bundle_digest, set_hash};
use steeple_api::server::agent::{BanAgentRequest, DeleteAgentRequest, GetAgentRequest};
use steeple_api::server::bundle::BatchSetFederatedBundleRequest;
use steeple_api::server::entry::{BatchCreateEntryRequest, BatchDeleteEntryRequest, BatchUpdateEntryRequest};
use steeple_api::steeple::agent::from_agent::Kind;
use steeple_api::steeple::agent::from_server::Kind as FromServerKind;
use steeple_api::steeple::agent::push_client::PushClient;
use steeple_api::steeple::agent::{self as wire, Ack, Change, FromAgent, FromServer, Hello, Issue, issue};
use steeple_api::types;
use steeple_api::types::permission_denied_details::Reason;
use steeple_ca::{SigningKey, csr, generate_pkcs8};
use steeple_core::{KeyType, TrustDomain};
use steeple_testkit::{Port, probe, until, workload_entry};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::on_record::records;
use crate::site::{Node, Site};

/// Everything that is awaited gives up after this.
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent by hand: it believes what it is told, and checks it.
struct Agent {
    to_server: mpsc::Sender<FromAgent>,
    messages: Streaming<FromServer>,
    held: Held,
    /// By id.
    entries: BTreeMap<String, types::Entry>,
    log_index: u64,
}

impl Agent {
    async fn open(node: &Node, held: Held) -> Self {
        let (to_server, outgoing) = mpsc::channel(8);
        let hash = if held.is_empty() { Vec::new() } else { set_hash(&held).to_vec() };
        let hello = Hello { protocol: PROTOCOL, set_hash: hash, ..Hello::default() };
        to_server.send(said(Kind::Hello(hello))).await.expect("room");
        let opened = PushClient::new(node.channel.clone()).sync(ReceiverStream::new(outgoing)).await;
        let messages = opened.expect("a stream").into_inner();
        let mut agent = Self { to_server, messages, held, entries: BTreeMap::new(), log_index: 0 };
        let FromServerKind::Welcome(welcome) = agent.next().await else { panic!("no welcome") };
        assert_eq!(welcome.protocol, PROTOCOL);
        assert!(welcome.applied_index > 0 && !welcome.cluster_uuid.is_empty());
        agent
    }

    /// Opened, and in step.
    async fn in_step(node: &Node) -> Self {
        let mut agent = Self::open(node, Held::default()).await;
        assert!(agent.change().await.replace);
        agent
    }

    async fn message(&mut self) -> Result<Option<FromServer>, Status> {
        tokio::time::timeout(PATIENCE, self.messages.message()).await.expect("a message in time")
    }

    async fn next(&mut self) -> FromServerKind {
        self.message().await.expect("an open stream").expect("a message").kind.expect("a kind")
    }

    /// The next change with all its pieces, applied and verified. The last piece is returned.
    async fn change(&mut self) -> Change {
        let mut first = true;
        loop {
            let FromServerKind::Change(change) = self.next().await else { panic!("no change") };
            if std::mem::take(&mut first) && change.replace {
                self.held = Held::default();
            }
            self.apply(&change);
            if !change.more {
                assert_eq!(change.set_hash, set_hash(&self.held), "{change:?}");
                assert!(change.log_index >= self.log_index);
                self.log_index = change.log_index;
                return change;
            }
            assert!(change.set_hash.is_empty());
        }
    }

    fn apply(&mut self, change: &Change) {
        let version =
            |entry: &types::Entry| EntryVersion { revision: entry.revision_number, created_at: entry.created_at };
        let bundles = change.bundles.iter().map(|bundle| bundle_from_wire(bundle, None).expect("a bundle"));
        let domain = |name: &String| TrustDomain::from_name(name).expect("a name");
        self.held.change(Piece {
            entries: change.entries.iter().map(|entry| (entry.id.clone(), version(entry))).collect(),
            removed_entry_ids: change.removed_entry_ids.clone(),
            bundles: bundles.map(|bundle| (bundle.trust_domain.clone(), bundle_digest(&bundle))).collect(),
            removed_trust_domains: change.removed_trust_domains.iter().map(domain).collect(),
        });
        self.entries.extend(change.entries.iter().map(|entry| (entry.id.clone(), entry.clone())));
    }

    async fn say(&self, kind: Kind) {
        self.to_server.send(said(kind)).await.expect("an open stream");
    }

    async fn denied(&mut self) -> Reason {
        let FromServerKind::Denial(denial) = self.next().await else { panic!("no denial") };
        assert_eq!(denial.message, "authorization denied for method /steeple.agent.v1.Push/Sync");
        assert!(matches!(self.message().await, Ok(None)), "the stream goes on");
        denial.reason()
    }
}

fn said(kind: Kind) -> FromAgent {
    FromAgent { kind: Some(kind) }
}

fn entry(id: &str, parent: &types::Spiffeid) -> types::Entry {
    let selector = types::Selector { r#type: "unix".into(), value: format!("uid:{id}") };
    workload_entry(id, parent, &format!("/{id}"), vec![selector])
}

async fn create(site: &Site, entries: Vec<types::Entry>) {
    let request = BatchCreateEntryRequest { entries, output_mask: None };
    let results = site.admin.entries().batch_create_entry(request).await.expect("created").into_inner().results;
    assert!(results.iter().all(|result| result.status.as_ref().is_some_and(|status| status.code == 0)), "{results:?}");
}

async fn delete(site: &Site, id: &str) {
    let request = BatchDeleteEntryRequest { ids: vec![id.to_owned()] };
    site.admin.entries().batch_delete_entry(request).await.expect("deleted");
}

fn ids(change: &Change) -> Vec<&str> {
    change.entries.iter().map(|entry| entry.id.as_str()).collect()
}

#[tokio::test]
async fn a_change_reaches_the_agents_that_see_it_and_no_others() {
    let site = Site::start().await;
    let (one, two) = (site.by_certificate(&site.certificate()).await, site.by_join_token().await);
    let (one_id, two_id) = (id_to_wire(&one.svid.id), id_to_wire(&two.svid.id));
    create(&site, vec![entry("a", &one_id)]).await;
    let mut first = Agent::in_step(&one).await;
    let mut second = Agent::in_step(&two).await;
    assert_eq!(first.entries.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!((first.held.bundles.len(), second.held.len()), (1, 1), "everybody has the own bundle");

    // For the second agent alone. Were the first one told, it would be of "b" before "c".
    create(&site, vec![entry("b", &two_id)]).await;
    assert_eq!(ids(&second.change().await), ["b"]);
    create(&site, vec![entry("c", &one_id)]).await;
    let change = first.change().await;
    assert_eq!((ids(&change), change.bundles.len()), (vec!["c"], 0), "only what is new");

    // Through an alias.
    let request = GetAgentRequest { id: Some(one_id.clone()), output_mask: None };
    let own = site.admin.agents().get_agent(request).await.expect("an agent").into_inner().selectors.remove(0);
    let path = |path: &str| types::Spiffeid { trust_domain: "example.org".into(), path: path.into() };
    let alias = workload_entry("alias", &path("/spire/server"), "/node", vec![own]);
    create(&site, vec![entry("d", &path("/node")), alias]).await;
    assert_eq!(ids(&first.change().await), ["d"]);
    delete(&site, "alias").await;
    assert_eq!(first.change().await.removed_entry_ids, ["d"]);

    let renamed = types::Entry { hint: "h".into(), ..entry("c", &one_id) };
    let mask = types::EntryMask { hint: true, ..types::EntryMask::default() };
    let request = BatchUpdateEntryRequest { entries: vec![renamed], input_mask: Some(mask), output_mask: None };
    site.admin.entries().batch_update_entry(request).await.expect("updated");
    assert_eq!(ids(&first.change().await), ["c"]);
    assert_eq!(first.entries["c"].hint, "h");
    delete(&site, "a").await;
    assert_eq!(first.change().await.removed_entry_ids, ["a"]);
}

/// Waits until the replica shows that its agents owe an acknowledgement for a time that `is_right`, in seconds.
async fn owed(port: &Port, is_right: impl Fn(f64) -> bool) {
    const NAME: &str = "steeple_push_unacknowledged_oldest_seconds";
    let shown = until::<(), Cow<'_, str>>(NAME, PATIENCE, async || {
        let (_, shown) = probe(port.number(), "/metrics").await.ok_or("nobody answers")?;
        let line = shown.lines().find(|line| line.starts_with(NAME)).map(str::to_owned);
        let value = line.as_deref().and_then(|line| line.rsplit(' ').next()?.parse().ok());
        if value.is_some_and(&is_right) { Ok(()) } else { Err(format!("{line:?}").into()) }
    });
    shown.await.expect("it is shown");
}

#[tokio::test]
async fn an_agent_that_never_acknowledges_is_seen() {
    let port = Port::reserve().expect("a port");
    let site = Site::measured(&port).await;
    let node = site.by_join_token().await;
    let id = id_to_wire(&node.svid.id);
    let mut agent = Agent::in_step(&node).await;
    owed(&port, |secs| secs == 0.0).await;
    create(&site, vec![entry("a", &id)]).await;
    agent.change().await;
    owed(&port, |secs| secs > 0.5).await;
    create(&site, vec![entry("b", &id)]).await;
    let change = agent.change().await;
    owed(&port, |secs| secs > 1.5).await;
    let (log_index, set_hash) = (change.log_index, change.set_hash);
    agent.say(Kind::Ack(Ack { log_index, set_hash, bundle_sequence: 0 })).await;
    owed(&port, |secs| secs == 0.0).await;

    // One that left owes nothing.
    delete(&site, "a").await;
    agent.change().await;
    owed(&port, |secs| secs > 0.1).await;
    drop(agent);
    owed(&port, |secs| secs == 0.0).await;
}

#[tokio::test]
async fn bundles_come_with_the_entries_that_need_them() {
    let site = Site::start().await;
    let node = site.by_join_token().await;
    let mut agent = Agent::in_step(&node).await;
    let bundle = |sequence_number| types::Bundle {
        trust_domain: "other.test".into(),
        sequence_number,
        ..types::Bundle::default()
    };
    let set = async |sequence| {
        let request = BatchSetFederatedBundleRequest { bundle: vec![bundle(sequence)], output_mask: None };
        site.admin.bundles().batch_set_federated_bundle(request).await.expect("set");
    };
    set(1).await;
    let federated =
        types::Entry { federates_with: vec!["other.test".into()], ..entry("f", &id_to_wire(&node.svid.id)) };
    create(&site, vec![federated]).await;
    let change = agent.change().await;
    assert_eq!((ids(&change), &*change.bundles), (vec!["f"], &[bundle(1)][..]));
    set(2).await;
    assert_eq!(agent.change().await.bundles, [bundle(2)]);
    delete(&site, "f").await;
    assert_eq!(agent.change().await.removed_trust_domains, ["other.test"]);
}

#[tokio::test]
async fn who_comes_back_gets_what_is_missing() {
    let site = Site::start().await;
    let node = site.by_join_token().await;
    let parent = id_to_wire(&node.svid.id);
    create(&site, vec![entry("a", &parent), entry("b", &parent)]).await;
    let held = Agent::in_step(&node).await.held;

    // The hash tells that nothing is.
    let mut back = Agent::open(&node, held.clone()).await;
    let change = back.change().await;
    assert_eq!((change.replace, change.entries.len(), change.bundles.len()), (false, 0, 0));
    drop(back);

    // The hash alone does not tell what is.
    delete(&site, "a").await;
    create(&site, vec![entry("c", &parent)]).await;
    let mut back = Agent::open(&node, held.clone()).await;
    let FromServerKind::Describe(_) = back.next().await else { panic!("not asked") };
    back.say(Kind::Held(described(&held))).await;
    let change = back.change().await;
    assert_eq!((ids(&change), &*change.removed_entry_ids), (vec!["c"], &["a".to_owned()][..]));
    assert_eq!((change.replace, change.bundles.len()), (false, 0));

    // An agent that finds another set than was meant says what it has.
    back.held.entries.remove("b");
    back.say(Kind::Held(described(&back.held))).await;
    let change = back.change().await;
    assert_eq!((ids(&change), change.from_index), (vec!["b"], 0));
}

fn described(held: &Held) -> wire::Held {
    let entry = |(id, version): (&String, &EntryVersion)| wire::held::EntryRef {
        id: id.clone(),
        revision: version.revision,
        created_at: version.created_at,
    };
    let bundle = |(name, digest): (&TrustDomain, &[u8; 32])| wire::held::BundleRef {
        trust_domain: name.name().to_owned(),
        digest: digest.to_vec(),
    };
    wire::Held {
        entries: held.entries.iter().map(entry).collect(),
        bundles: held.bundles.iter().map(bundle).collect(),
        more: false,
    }
}

#[tokio::test]
async fn who_is_no_agent_any_more_is_told_in_the_middle_of_the_stream() {
    let site = Site::start().await;
    let (banned, evicted, files) = (site.by_join_token().await, site.by_join_token().await, site.certificate());
    let replaced = site.by_certificate(&files).await;
    let mut streams = Vec::new();
    for node in [&banned, &evicted, &replaced] {
        streams.push(Agent::in_step(node).await);
    }
    let mut agents = site.admin.agents();
    agents.ban_agent(BanAgentRequest { id: Some(id_to_wire(&banned.svid.id)) }).await.expect("banned");
    assert_eq!(streams[0].denied().await, Reason::AgentBanned);
    agents.delete_agent(DeleteAgentRequest { id: Some(id_to_wire(&evicted.svid.id)) }).await.expect("evicted");
    assert_eq!(streams[1].denied().await, Reason::AgentNotAttested);
    let replacement = site.by_certificate(&files).await;
    assert_eq!(streams[2].denied().await, Reason::AgentNotActive);
    Agent::in_step(&replacement).await;
}

#[tokio::test]
async fn a_certificate_that_expires_ends_its_stream() {
    let site = Site::with("ratelimit { attestation = false } agent_ttl = \"20s\"").await;
    let node = site.by_join_token().await;
    assert_eq!(Agent::in_step(&node).await.denied().await, Reason::AgentExpired);
}

#[tokio::test]
async fn a_slow_agent_gets_the_latest_and_no_backlog() {
    let site = Site::start().await;
    let node = site.by_join_token().await;
    let parent = id_to_wire(&node.svid.id);
    let mut agent = Agent::in_step(&node).await;
    // Far more than the flow control lets through, each entry changed again and again.
    let long = "x".repeat(1000);
    let many = |round: usize| -> Vec<types::Entry> {
        let changed =
            |number: usize| types::Entry { hint: format!("{round}-{long}"), ..entry(&format!("e{number}"), &parent) };
        (0..400).map(changed).collect()
    };
    create(&site, many(0)).await;
    for round in 1..=20 {
        let mask = types::EntryMask { hint: true, ..types::EntryMask::default() };
        let request = BatchUpdateEntryRequest { entries: many(round), input_mask: Some(mask), output_mask: None };
        site.admin.entries().batch_update_entry(request).await.expect("updated");
    }
    let mut changes = 0;
    while agent.entries.len() < 400 || agent.entries.values().any(|entry| !entry.hint.starts_with("20-")) {
        agent.change().await;
        changes += 1;
    }
    assert!(changes < 20, "{changes} changes for 21 states");
}

#[tokio::test]
async fn svids_are_issued_on_the_stream_by_the_rules_of_calls() {
    let site = Site::start().await;
    let (node, other) = (site.by_join_token().await, site.by_join_token().await);
    create(&site, vec![entry("a", &id_to_wire(&node.svid.id)), entry("b", &id_to_wire(&other.svid.id))]).await;
    let mut agent = Agent::in_step(&node).await;
    let key = SigningKey::from_pkcs8(&generate_pkcs8(KeyType::EcP256).expect("a key")).expect("a key");
    let good = csr::request(&key, &node.svid.id, &[]).expect("a CSR");
    let mut forged = good.clone();
    *forged.last_mut().expect("bytes") ^= 1;
    let wish = |entry_id: &str, csr: &[u8]| issue::X509 { entry_id: entry_id.into(), csr: csr.to_vec() };
    let jwt = |entry_id: &str| issue::Jwt { entry_id: entry_id.into(), audience: vec!["aud".into()] };
    let asked = Issue {
        request_id: 7,
        x509: vec![wish("a", &good), wish("b", &good), wish("a", &forged)],
        jwt: vec![jwt("a"), jwt("b")],
    };
    agent.say(Kind::Issue(asked)).await;
    let FromServerKind::Issued(issued) = agent.next().await else { panic!("no answer") };
    assert_eq!(issued.request_id, 7);
    let codes = |statuses: Vec<Option<types::Status>>| -> Vec<Code> {
        statuses.into_iter().map(|status| Code::from(status.expect("a status").code)).collect()
    };
    assert!(issued.x509[0].svid.as_ref().is_some_and(|svid| !svid.cert_chain.is_empty()));
    assert!(issued.jwt[0].svid.as_ref().is_some_and(|svid| !svid.token.is_empty()));
    let x509 = codes(issued.x509.into_iter().map(|item| item.status).collect());
    assert_eq!(x509, [Code::Ok, Code::NotFound, Code::InvalidArgument]);
    assert_eq!(codes(issued.jwt.into_iter().map(|item| item.status).collect()), [Code::Ok, Code::NotFound]);

    // On record as the calls that they stand for, item by item, before they are answered.
    let log = std::fs::read_to_string(site.scratch.join("log")).expect("a log");
    let of = |method, known: [&str; 4]| -> Vec<[String; 4]> {
        let text = |record: &serde_json::Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
        records(&log, method).iter().map(|record| known.map(|name| text(record, name))).collect()
    };
    let x509 = of("BatchNewX509SVID", ["entry_id", "status", "spiffe_id", "authorized_as"]);
    let expected =
        [["a", "success", "spiffe://example.org/a", "agent"], ["b", "error", "", "agent"], ["a", "error", "", "agent"]];
    assert_eq!(x509, expected);
    let jwt = of("NewJWTSVID", ["entry_id", "status", "status_code", "caller_id"]);
    let id = node.svid.id.as_str();
    assert_eq!(jwt, [["a", "success", "", id], ["b", "error", "NotFound", id]]);

    // More than the bucket of BatchNewX509SVID holds.
    agent.say(Kind::Issue(Issue { request_id: 8, x509: vec![wish("a", &good); 501], jwt: Vec::new() })).await;
    let FromServerKind::Issued(issued) = agent.next().await else { panic!("no answer") };
    let status = issued.x509[500].status.clone().expect("a status");
    assert_eq!(Code::from(status.code), Code::ResourceExhausted, "{status:?}");
}

#[tokio::test]
async fn what_an_agent_acknowledges_counts_for_the_rotation_of_authorities() {
    let site = Site::start().await;
    let node = site.by_join_token().await;
    let known = async || {
        let status = site.admin.authority_status().await.expect("a status");
        status.acknowledgements.expect("acknowledgements")
    };
    let attested = known().await;
    assert_eq!((attested.live_agents, attested.missing_agents), (1, 1), "before it says anything: {attested:?}");
    let mut agent = Agent::open(&node, Held::default()).await;
    let change = agent.change().await;
    let bundle_sequence = change.bundles[0].sequence_number;
    let before = known().await;
    assert_eq!((before.live_agents, before.missing_agents), (1, 1), "{before:?}");
    let ack = Ack { log_index: change.log_index, set_hash: change.set_hash, bundle_sequence };
    agent.say(Kind::Ack(ack)).await;
    let told = steeple_testkit::until("the acknowledgement counts", PATIENCE, async || {
        let now = known().await;
        if now.live_agents == 1 && now.missing_agents == 0 && !now.untracked { Ok(()) } else { Err(format!("{now:?}")) }
    });
    told.await.expect("it counts");
}

#[tokio::test]
async fn nonsense_ends_the_stream() {
    let site = Site::start().await;
    let node = site.by_join_token().await;
    let refused = async |first: FromAgent, second: Option<FromAgent>| -> Status {
        let (to_server, outgoing) = mpsc::channel(2);
        to_server.send(first).await.expect("room");
        if let Some(second) = second {
            to_server.send(second).await.expect("room");
        }
        let opened = PushClient::new(node.channel.clone()).sync(ReceiverStream::new(outgoing)).await;
        let mut messages = opened.expect("a stream").into_inner();
        loop {
            match tokio::time::timeout(PATIENCE, messages.message()).await.expect("an end") {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ends well"),
                Err(status) => return status,
            }
        }
    };
    let hello = |protocol| said(Kind::Hello(Hello { protocol, ..Hello::default() }));
    let cases = [
        (hello(0), None, "protocol 0 is unknown"),
        (said(Kind::Ack(Ack::default())), None, "the first message is no hello"),
        (FromAgent { kind: None }, None, "the first message is no hello"),
        (hello(1), Some(hello(1)), "a second hello"),
        (hello(1), Some(FromAgent { kind: None }), "a message says nothing known"),
    ];
    for (first, second, message) in cases {
        let status = refused(first, second).await;
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, message));
    }
}
