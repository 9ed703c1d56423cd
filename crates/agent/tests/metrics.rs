//! What real replicas and a real agent show when they are scraped.

use std::collections::BTreeMap;
use std::time::Duration;

use steeple_api::server::bundle::BatchSetFederatedBundleRequest;
use steeple_api::steeple::server::RemoveRequest;
use steeple_api::types;
use steeple_telemetry::metric::rows;
use steeple_testkit::{
    Agent, AgentSpec, Attestation, Binaries, Cluster, ClusterRole, ExtraLines, NodeCertificateAuthority, Port, Scratch,
    Server, ServerSpec, WorkloadStream, own_uid_selector, probe, until, workload_entry,
};

const TRUST_DOMAIN: &str = "example.org";
/// An election and a reconnect, also on a busy machine.
const EVENT_MAX: Duration = Duration::from_secs(120);
/// More than a replica keeps in its log when it takes a snapshot every hundred entries: who joins then needs one.
const ENTRIES: usize = 320;
const REPLICAS: usize = 3;
/// Of every series, as the case may be.
const COMMON_LABELS: [&str; 4] = ["host", "le", "quantile", "trust_domain"];

struct World {
    scratch: Scratch,
    cluster: Cluster,
    ports: Vec<Port>,
    agent: Agent,
    of_agent: Port,
    agent_id: types::Spiffeid,
}

/// What one program shows.
struct Shown(String);

fn telemetry(port: &Port) -> String {
    format!("telemetry {{ Prometheus {{ host = \"127.0.0.1\" port = {} }} }}", port.number())
}

async fn scrape(port: &Port) -> Shown {
    Shown(probe(port.number(), "/metrics").await.expect("metrics").1)
}

/// Scrapes until `holds` finds what it wants, and tells what was shown when it did not.
async fn shows<T>(what: &str, port: &Port, holds: impl Fn(&Shown) -> Option<T>) -> T {
    let shown = until(what, EVENT_MAX, async || {
        let shown = scrape(port).await;
        holds(&shown).ok_or_else(|| shown.steeple())
    });
    shown.await.expect("it is shown")
}

impl Shown {
    /// The value of the one series of `name` that has these labels.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let mut found = self.0.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && wanted.iter().all(|label| line.contains(label.as_str()))
        });
        let line = found.next()?;
        assert!(found.next().is_none(), "{name} {labels:?} is not one series");
        line.rsplit(' ').next()?.parse().ok()
    }

    /// For failures: the rest is long.
    fn steeple(&self) -> String {
        self.0
            .lines()
            .filter(|line| line.starts_with("steeple_") && !line.contains("_bucket"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Each metric is explained, and each that is in `documented`, by name, has the labels that stand there.
    fn is_explained(&self, documented: &BTreeMap<String, Vec<String>>) {
        let (mut name, mut before) = ("", "");
        for line in self.0.lines() {
            if let Some((of, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                assert!(before.starts_with(&format!("# HELP {of} ")), "{of} is not explained");
                let own = of.trim_start_matches("spire_server_").trim_start_matches("spire_agent_");
                let counted = own.strip_suffix("_elapsed_time").unwrap_or(own);
                let of_methods = own.starts_with("rpc_") || own.starts_with("rateLimit_");
                assert!(of_methods || documented.contains_key(counted), "{of} ({kind}) is not documented");
                name = counted;
            } else if let Some(labels) = documented.get(name)
                && let Some((_, rest)) = line.split_once('{')
            {
                let shown = rest.split(',').filter_map(|label| label.split_once("=\"").map(|(label, _)| label));
                for label in shown.filter(|label| !COMMON_LABELS.contains(label)) {
                    assert!(labels.iter().any(|known| known == label), "{name} has the label {label}");
                }
            }
            before = line;
        }
    }
}

/// By name, with labels, in that part of the page which begins with `heading`.
fn documented(heading: &str) -> BTreeMap<String, Vec<String>> {
    let page = include_str!("../../../docs/metrics.md");
    let (_, part) = page.split_once(heading).expect("a heading");
    let part = part.split_once("\n## ").map_or(part, |(part, _)| part);
    let row = |row: String| {
        let mut cells = row.splitn(3, " | ").map(str::to_owned);
        let (name, labels) = (cells.next().expect("a name"), cells.next().expect("labels"));
        (name, labels.split(", ").map(str::to_owned).collect())
    };
    rows(part).into_iter().map(row).collect()
}

impl World {
    /// Two replicas join one whose log does not reach back to its beginning. The agent knows the last of them alone.
    async fn new() -> Self {
        let (scratch, binaries) = (Scratch::new().expect("a directory"), Binaries::find().expect("the programs"));
        let nodes = NodeCertificateAuthority::new(scratch.path()).expect("a root");
        let (mut cluster, mut ports) = (Cluster { servers: Vec::new() }, Vec::new());
        for number in 1..=REPLICAS {
            let port = Port::reserve().expect("a port");
            let extra = ExtraLines {
                cluster: "snapshot_entries = 100".to_owned(),
                top: telemetry(&port),
                ..ExtraLines::default()
            };
            let join = cluster.servers.iter().map(Server::peer_address).collect();
            let spec = ServerSpec {
                name: format!("server-{number}"),
                trust_domain: TRUST_DOMAIN.to_owned(),
                cluster: Some(ClusterRole { join, sealing_key_path: scratch.join("sealing-key") }),
                x509pop_root: Some(nodes.root_path().to_owned()),
                jwt_issuer: None,
                log_level: "INFO".to_owned(),
                env: Vec::new(),
            };
            let mut server = Server::start_with(&binaries, scratch.path(), &spec, &extra).expect("it starts");
            server.ready().await.expect("it is ready");
            if number == 1 {
                fill(&server).await;
            }
            cluster.servers.push(server);
            ports.push(port);
        }
        cluster.all_vote().await.expect("three voters");
        let admin = cluster.servers[0].admin();
        let roots = admin.bundle().await.expect("a bundle").x509_authorities;
        let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        let trust_bundle = scratch.join("bundle.pem");
        std::fs::write(&trust_bundle, pem::encode_many(&blocks)).expect("a file");
        let spec = AgentSpec {
            name: "agent".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            servers: vec![cluster.servers[REPLICAS - 1].api_address()],
            trust_bundle,
            attestation: Attestation::X509Pop(nodes.issue(scratch.path(), "node-1").expect("a certificate")),
            log_level: "INFO".to_owned(),
            lines: Vec::new(),
        };
        let of_agent = Port::reserve().expect("a port");
        let mut agent =
            Agent::start_with_top(&binaries, scratch.path(), &spec, &telemetry(&of_agent)).expect("it starts");
        agent.ready().await.expect("it is ready");
        let agent_id = admin.agent_ids("x509pop").await.expect("agents").remove(0);
        Self { scratch, cluster, ports, agent, of_agent, agent_id }
    }

    /// A workload gets an SVID for an entry that was pushed to its agent.
    async fn serve(&self, name: &str) {
        let admin = self.cluster.servers[0].admin();
        let entry = workload_entry(name, &self.agent_id, &format!("/{name}"), vec![own_uid_selector()]);
        admin.create_entry(entry).await.expect("an entry");
        let served = until("an SVID", EVENT_MAX, async || {
            let mut stream = WorkloadStream::open(&self.agent.socket()).await?;
            stream.wait_for(&format!("spiffe://{TRUST_DOMAIN}/{name}"), EVENT_MAX).await
        });
        served.await.expect("an SVID");
    }

    async fn stop(mut self) {
        self.agent.stop().await.expect("an orderly end");
        self.cluster.stop().await.expect("an orderly end");
        self.scratch.remove().expect("an empty place");
    }
}

/// With entries for nobody who is there.
async fn fill(server: &Server) {
    let parent = types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: "/nobody".to_owned() };
    for number in 0..ENTRIES {
        let id = format!("e-{number}");
        let entry = workload_entry(&id, &parent, &format!("/{id}"), vec![own_uid_selector()]);
        server.admin().create_entry(entry).await.expect("an entry");
    }
}

#[tokio::test]
async fn replicas_and_agents_show_and_explain_what_they_do() {
    let mut world = World::new().await;
    let admin = world.cluster.servers[0].admin().clone();
    let neighbour = types::Bundle { trust_domain: "east.test".to_owned(), ..admin.bundle().await.expect("a bundle") };
    let request = BatchSetFederatedBundleRequest { bundle: vec![neighbour], output_mask: None };
    admin.bundles().batch_set_federated_bundle(request).await.expect("a bundle");
    admin.create_join_token(Duration::from_secs(600)).await.expect("a token");
    shows("an open push stream", &world.of_agent, |shown| {
        shown.value("steeple_agent_push_connected", &[]).filter(|connected| *connected == 1.0)
    })
    .await;
    world.serve("w").await;

    // The leader took snapshots, and those who joined have theirs from it.
    let leader = world.cluster.leader().await.expect("a leader");
    assert_eq!(leader, 0, "nobody else wants to lead");
    let snapshots = |kind: &'static str, at_least: f64| {
        move |shown: &Shown| {
            let (of, ok) = ([("kind", kind)], [("kind", kind), ("status", "OK")]);
            shown.value("steeple_snapshots_total", &ok).filter(|count| *count >= at_least)?;
            shown.value("steeple_snapshot_duration_seconds_count", &of).filter(|count| *count >= at_least)?;
            shown.value("steeple_snapshot_last_success_timestamp_seconds", &of).filter(|at| *at > 1e9)?;
            shown.value("steeple_snapshot_size_bytes", &of).filter(|size| *size > 1000.0)
        }
    };
    shows("snapshots taken", &world.ports[0], snapshots("taken", 1.0)).await;
    shows("snapshots sent", &world.ports[0], snapshots("sent", 2.0)).await;
    shows("a snapshot received", &world.ports[2], snapshots("received", 1.0)).await;

    // The third replica serves the agent: it pushes, and has the leader sign.
    let stage = |stage: &'static str| {
        move |shown: &Shown| {
            let labels = [("stage", stage)];
            let count = shown.value("steeple_push_propagation_seconds_count", &labels).filter(|count| *count >= 1.0)?;
            let sum = shown.value("steeple_push_propagation_seconds_sum", &labels)?;
            Some(sum / count)
        }
    };
    let sent = shows("a change that was sent", &world.ports[2], stage("sent")).await;
    let acknowledged = shows("one that was acknowledged", &world.ports[2], stage("acknowledged")).await;
    println!("applied -> sent {sent:.4} s, -> acknowledged {acknowledged:.4} s");
    assert!(sent > 0.0 && acknowledged < EVENT_MAX.as_secs_f64());
    let forwarded = scrape(&world.ports[2]).await.value("steeple_signing_forward_seconds_count", &[("status", "OK")]);
    assert!(forwarded >= Some(1.0), "{forwarded:?}");
    let of_leader = scrape(&world.ports[0]).await;
    for name in ["steeple_signing_seconds_count", "steeple_signing_batch_items_count"] {
        assert!(of_leader.value(name, &[]) >= Some(1.0), "{name}\n{}", of_leader.steeple());
    }
    assert_eq!(of_leader.value("steeple_signing_queue_length", &[]), Some(0.0));
    assert_eq!(of_leader.value("steeple_signing_refused_total", &[("reason", "no_quorum")]), Some(0.0));

    // The state, as every replica has it.
    for port in &world.ports {
        for (name, labels, value) in [
            ("steeple_federated_bundles", [].as_slice(), 1.0),
            ("steeple_federation_relationships", &[], 0.0),
            ("steeple_join_tokens", &[("state", "valid")], 1.0),
            ("steeple_join_tokens", &[("state", "expired")], 0.0),
            ("steeple_attested_agent_svid_age_seconds_count", &[], 1.0),
            ("steeple_attested_agent_svid_age_seconds_bucket", &[("le", "900")], 1.0),
            ("steeple_attested_agent_svid_age_ratio_bucket", &[("le", "0.4")], 1.0),
        ] {
            shows(name, port, |shown| shown.value(name, labels).filter(|shown| *shown == value)).await;
        }
        let shown = scrape(port).await;
        assert!(shown.value("steeple_state_rows", &[]) >= Some(ENTRIES as f64), "{}", shown.steeple());
        let entries = shown.value("steeple_raft_log_entries", &[]).expect("a log");
        assert!(entries > 0.0 && entries < ENTRIES as f64, "{entries}");
        assert!(shown.value("steeple_raft_snapshot_index", &[]) >= Some(100.0), "{}", shown.steeple());
    }

    // The agent.
    for (name, labels) in [
        ("steeple_agent_push_to_svid_seconds_count", [].as_slice()),
        ("steeple_agent_workload_svid_age_seconds_bucket", &[("le", "900")]),
        ("steeple_agent_workload_svid_age_ratio_count", &[]),
    ] {
        shows(name, &world.of_agent, |shown| shown.value(name, labels).filter(|count| *count >= 1.0)).await;
    }

    let of_servers = documented("## Server");
    for port in &world.ports {
        scrape(port).await.is_explained(&of_servers);
    }
    scrape(&world.of_agent).await.is_explained(&documented("## Agent"));

    members_come_and_go(&mut world).await;
    world.stop().await;
}

/// A member that stops is not healthy on every other replica, and one that was removed has no series.
async fn members_come_and_go(world: &mut World) {
    let member = |shown: &Shown, name: &str, of: usize| {
        shown.value(&format!("steeple_raft_member_{name}"), &[("member", &format!("server_{of}"))])
    };
    for port in &world.ports {
        shows("a healthy member", port, |shown| {
            member(shown, "healthy", 2).filter(|healthy| *healthy == 1.0)?;
            member(shown, "reachable", 2).filter(|reachable| *reachable == 1.0)?;
            member(shown, "lag_entries", 2).filter(|lag| *lag < 100.0)
        })
        .await;
    }
    let by_leader = shows("an answer to a ping", &world.ports[0], |shown| {
        Some([member(shown, "last_contact_seconds", 2)?, member(shown, "ping_seconds", 2)?])
    });
    let [last_contact, ping] = by_leader.await;
    assert!(last_contact < 60.0 && ping > 0.0 && ping < 1.0, "{last_contact} {ping}");
    let of_itself = scrape(&world.ports[0]).await;
    assert_eq!(member(&of_itself, "healthy", 1), Some(1.0));
    assert_eq!(member(&of_itself, "last_contact_seconds", 1), None);

    let node_id = world.cluster.servers[1].admin().status().await.expect("a status").node_id;
    world.cluster.servers[1].stop().await.expect("it stops");
    for port in [&world.ports[0], &world.ports[2]] {
        shows("a member that is away", port, |shown| {
            member(shown, "reachable", 2).filter(|reachable| *reachable == 0.0)?;
            member(shown, "healthy", 2).filter(|healthy| *healthy == 0.0)?;
            member(shown, "last_contact_seconds", 2).filter(|silence| *silence > 1.0)
        })
        .await;
    }
    world.cluster.servers[0].admin().cluster().remove(RemoveRequest { node_id }).await.expect("it goes");
    for port in [&world.ports[0], &world.ports[2]] {
        let gone = |shown: &Shown| (!shown.0.contains("member=\"server_2\"")).then_some(());
        shows("no series of who was removed", port, gone).await;
    }
}
