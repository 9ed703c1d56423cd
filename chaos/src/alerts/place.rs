//! A cluster in which everything can be broken, scraped, with an agent and somebody who writes.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use steeple_api::steeple::server::TransferLeaderRequest;
use steeple_api::types;
use steeple_testkit::{
    Admin, Agent, AgentSpec, Attestation, ExtraLines, Port, own_uid_selector, until, workload_entry,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::neighbour::{Federated, Kept, Neighbour};
use super::node::Node;
use crate::faults::Volume;
use crate::signing::Signing;
use crate::suite::site::{Site, TRUST_DOMAIN};

const REPLICAS: usize = 3;
/// Room for a few records.
const AUDIT_BYTES: u64 = 1024 * 1024;
/// Between two writes: slow, because three debug servers and whoever else share the machine.
const WRITE_PAUSE: Duration = Duration::from_millis(100);
const CLUSTER: &str = "one";
/// A few elections on a busy machine.
const LED_MAX: Duration = Duration::from_secs(60);

pub(super) struct Place {
    /// Ends with the value.
    _agent: Agent,
    writers: JoinSet<()>,
    pub(super) node: Node,
    /// When its nodes were.
    pub(super) attested: Instant,
    pub(super) kept: Option<Kept>,
    pub(super) federated: Option<Federated>,
    /// Under the first replica's audit file, once there is one. Before the site, whose directory it is mounted in.
    audit: Option<Volume>,
    pub(super) site: Site,
    metrics: Vec<Port>,
    of_agent: Port,
}

impl Place {
    pub(super) async fn found() -> anyhow::Result<Self> {
        let metrics = (0..REPLICAS).map(|_| Port::reserve()).collect::<anyhow::Result<Vec<_>>>()?;
        let of_agent = Port::reserve()?;
        let extra = metrics.iter().map(|port| ExtraLines { top: telemetry(port), ..ExtraLines::default() }).collect();
        let site = Site::found_with(Signing::default(), extra).await?;
        let trust_bundle = site.scratch.join("bundle.pem");
        let roots = site.cluster.servers[0].admin().bundle().await?.x509_authorities;
        let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        std::fs::write(&trust_bundle, pem::encode_many(&blocks))?;
        let spec = AgentSpec {
            name: "agent".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            servers: site.cluster.api_addresses(),
            trust_bundle,
            attestation: Attestation::X509Pop(site.nodes.issue(site.scratch.path(), "node")?),
            log_level: "INFO".to_owned(),
            lines: Vec::new(),
        };
        let mut agent = Agent::start_with_top(&site.binaries, site.scratch.path(), &spec, &telemetry(&of_agent))?;
        agent.ready().await?;
        let (node, attested) = (Node::attach(&site).await?, Instant::now());
        let (writers, kept, federated, audit) = (JoinSet::new(), None, None, None);
        let mut place =
            Self { _agent: agent, writers, node, attested, kept, federated, site, audit, metrics, of_agent };
        place.write_on();
        Ok(place)
    }

    pub(super) fn dir(&self) -> &Path {
        self.site.scratch.path()
    }

    /// All that runs, each with the label of its cluster.
    pub(super) fn targets(&self) -> Vec<(String, String)> {
        let own = self.metrics.iter().chain([&self.of_agent]).map(|port| (port.address(), CLUSTER));
        let neighbours = [self.kept.as_ref().map(|kept| &kept.neighbour), self.federated.as_ref().map(|two| &two.east)];
        let others = neighbours.into_iter().flatten().map(|one: &Neighbour| (one.metrics(), one.name));
        own.chain(others).map(|(address, cluster)| (address, cluster.to_owned())).collect()
    }

    pub(super) async fn leader(&self) -> anyhow::Result<usize> {
        self.site.cluster.leader().await
    }

    /// Leadership goes to the replica at `position`.
    pub(super) async fn hand_over(&self, position: usize) -> anyhow::Result<()> {
        until("another replica leads", LED_MAX, async || {
            let leader = self.leader().await?;
            if leader == position {
                return Ok(());
            }
            let node_id = self.admin(position).status().await?.node_id;
            self.admin(leader).cluster().transfer_leader(TransferLeaderRequest { node_id }).await?;
            anyhow::bail!("it was asked to")
        })
        .await
    }

    pub(super) fn admin(&self, position: usize) -> Admin {
        self.site.cluster.servers[position].admin().clone()
    }

    /// All replicas run with the right time and disks that work, and have caught up.
    pub(super) async fn heal(&mut self) -> anyhow::Result<()> {
        self.site.network.heal();
        for position in 0..REPLICAS {
            self.site.clocks[position].set_right()?;
            self.site.disks[position].mend()?;
            match self.site.server(position).process() {
                Some(process) => process.resume(),
                None => self.site.server(position).launch()?,
            }
        }
        for position in 0..REPLICAS {
            self.site.server(position).ready().await?;
            self.site.cluster.caught_up(position).await?;
        }
        Ok(())
    }

    /// Stops a replica, changes its configuration and starts it.
    pub(super) async fn reconfigure(&mut self, position: usize, from: &str, to: &str) -> anyhow::Result<()> {
        let server = self.site.server(position);
        server.stop().await?;
        let path = server.data_dir().with_file_name("server.conf");
        let text = std::fs::read_to_string(&path)?;
        anyhow::ensure!(text.contains(from), "the configuration has no {from}");
        std::fs::write(&path, text.replace(from, to))?;
        server.launch()
    }

    /// Takes a replica whose store is beyond mending out, and lets it join anew.
    pub(super) async fn replace(&mut self, position: usize) -> anyhow::Result<()> {
        let node_id = self.admin(position).status().await?.node_id;
        self.site.replace(position, node_id).await
    }

    /// Gives the first replica an audit file on a small volume of its own.
    pub(super) async fn audited(&mut self) -> anyhow::Result<&Volume> {
        if self.audit.is_none() {
            anyhow::ensure!(Volume::is_possible(), "it needs root and a mount namespace");
            let dir = self.site.server(0).data_dir().with_file_name("audit");
            self.audit = Some(Volume::mount(&dir, AUDIT_BYTES)?);
            let line = format!("server {{\n audit {{ file = {:?} }}", dir.join("audit.log"));
            self.reconfigure(0, "server {", &line).await?;
            self.site.server(0).ready().await?;
        }
        self.audit.as_ref().context("it was mounted")
    }

    /// Somebody writes through each replica as long as this is there. Errors are expected.
    fn write_on(&mut self) {
        for position in 0..REPLICAS {
            let admin = self.admin(position);
            self.writers.spawn(async move {
                for number in 0_u64.. {
                    let parent = types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: "/nodes".to_owned() };
                    let id = format!("w-{position}-{number}");
                    let entry = workload_entry(&id, &parent, &format!("/{id}"), vec![own_uid_selector()]);
                    let _ = admin.create_entry(entry).await;
                    tokio::time::sleep(WRITE_PAUSE).await;
                }
            });
        }
    }
}

pub(super) fn telemetry(port: &Port) -> String {
    format!("telemetry {{ Prometheus {{ host = \"127.0.0.1\" port = {} }} }}", port.number())
}
