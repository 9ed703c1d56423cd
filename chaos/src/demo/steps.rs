//! The seven steps.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;
use steeple_api::types;
use steeple_core::{Clock as _, SystemClock, TrustDomain};
use steeple_testkit::{
    Agent, AgentSpec, Attestation, Binaries, Cluster, NodeCertificateAuthority, Process, Scratch, Server, ServerSpec,
    StateAt, WorkloadStream, own_uid_selector, until, workload_entry,
};
use steeple_transport::tls::{TrustRoots, Usage, verify_chain};

use super::WorkloadArgs;
use super::observer::Workload;
use super::screen::Screen;

/// All that runs. Dropping it ends the processes, then removes the directory.
struct Scene {
    binaries: Binaries,
    cluster: Cluster,
    agents: Vec<Agent>,
    workload: Option<Workload>,
    /// Opened before the leader is killed and never again.
    stream: Option<WorkloadStream>,
    killed: usize,
    nodes: NodeCertificateAuthority,
    scratch: Scratch,
}

/// Runs the demonstration and prints it. The first step that fails ends it.
pub async fn run() -> anyhow::Result<()> {
    let mut screen = Screen::new();
    let mut scene = Scene::new()?;
    if let Err(error) = scene.play(&mut screen).await {
        for process in scene.processes() {
            eprintln!("--- end of the log of {} ---\n{}", process.name(), process.tail());
        }
        return Err(error);
    }
    screen.step("everything is stopped, nothing is left behind", scene.stop()).await?;
    screen.summary();
    Ok(())
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let scratch = Scratch::new()?;
        Ok(Self {
            binaries: Binaries::find()?,
            cluster: Cluster { servers: Vec::new() },
            agents: Vec::new(),
            workload: None,
            stream: None,
            killed: 0,
            nodes: NodeCertificateAuthority::new(scratch.path())?,
            scratch,
        })
    }

    /// All steps but the last, which ends the scene.
    async fn play(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        screen.step("three replicas form one cluster", self.found_cluster()).await?;
        screen.step("one agent attests by join token, another by x509pop", self.attest_agents()).await?;
        screen.step("an entry made through a follower; an X.509-SVID and a JWT-SVID", self.fetch_svids()).await?;
        screen.step("a workload keeps an mTLS connection going while its SVIDs rotate", self.run_workload()).await?;
        screen.step("the leader is killed with SIGKILL", self.kill_leader()).await?;
        screen.step("the killed replica comes back and catches up", self.restart_killed()).await
    }

    async fn found_cluster(&mut self) -> anyhow::Result<Vec<String>> {
        let template = ServerSpec {
            name: String::new(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            cluster: None,
            x509pop_root: Some(self.nodes.root_path().to_owned()),
            jwt_issuer: None,
            log_level: "INFO".to_owned(),
            env: Vec::new(),
        };
        self.cluster = Cluster::start(&self.binaries, self.scratch.path(), REPLICAS, &template).await?;
        let leader = &self.cluster.servers[self.cluster.leader().await?];
        let status = leader.admin().status().await?;
        Ok(vec![
            format!("cluster {}, {} voters", status.cluster_uuid, status.members.len()),
            format!("{} leads in term {}", leader.name(), status.term),
        ])
    }

    async fn attest_agents(&mut self) -> anyhow::Result<Vec<String>> {
        let dir = self.scratch.path();
        let admin = self.cluster.servers[self.cluster.follower().await?].admin().clone();
        let trust_bundle = self.write_trust_bundle(&admin.bundle().await?)?;
        let token = admin.create_join_token(TOKEN_TTL).await?;
        let node = self.nodes.issue(dir, "node-b")?;
        for (name, attestation) in [("agent-a", Attestation::JoinToken(token)), ("agent-b", Attestation::X509Pop(node))]
        {
            let spec = AgentSpec {
                name: name.to_owned(),
                trust_domain: TRUST_DOMAIN.to_owned(),
                servers: self.cluster.api_addresses(),
                trust_bundle: trust_bundle.clone(),
                attestation,
                // Shown when a step fails: what an agent does about a dead server it tells at debug.
                log_level: "DEBUG".to_owned(),
                lines: Vec::new(),
            };
            self.agents.push(Agent::start(&self.binaries, dir, &spec)?);
        }
        for agent in &mut self.agents {
            agent.ready().await?;
        }
        let mut facts = Vec::new();
        for attestation_type in [JOIN_TOKEN, X509POP] {
            let id = self.agent_id(attestation_type).await?;
            facts.push(format!("spiffe://{}{}", id.trust_domain, id.path));
        }
        Ok(facts)
    }

    async fn fetch_svids(&mut self) -> anyhow::Result<Vec<String>> {
        let follower = &self.cluster.servers[self.cluster.follower().await?];
        let entry = self.entry("1-client", JOIN_TOKEN, "/client").await?;
        let created = Instant::now();
        follower.admin().create_entry(entry).await?;
        let took = created.elapsed();
        let stream = stream_with(&self.agents[0], CLIENT_ID).await?;
        let (name, took, arrived) = (follower.name(), took.as_millis(), created.elapsed().as_secs_f64());
        let facts = vec![
            format!("{name} answered after {took} ms, the SVID was there after {arrived:.1} s"),
            self.fetch_x509().await?,
            self.fetch_jwt().await?,
        ];
        self.stream = Some(stream);
        Ok(facts)
    }

    async fn run_workload(&mut self) -> anyhow::Result<Vec<String>> {
        let entry = self.entry("2-server", X509POP, "/server").await?;
        self.cluster.servers[self.cluster.follower().await?].admin().create_entry(entry).await?;
        stream_with(&self.agents[1], SERVER_ID).await?;
        let args = WorkloadArgs {
            client_socket: self.agents[0].socket(),
            server_socket: self.agents[1].socket(),
            client_id: CLIENT_ID.to_owned(),
            server_id: SERVER_ID.to_owned(),
        };
        let workload = self.workload.insert(Workload::start(self.scratch.path(), &args)?);
        let observed = workload
            .wait_for("both sides rotate", ROTATION_MAX, |observed| {
                observed.client_rotations > 0 && observed.server_rotations > 0
            })
            .await?;
        Ok(vec![format!(
            "{} exchanges over {} connections, {} and {} rotations, 0 errors (TTL {SVID_TTL_SECS} s)",
            observed.exchanges, observed.connections, observed.client_rotations, observed.server_rotations
        )])
    }

    async fn kill_leader(&mut self) -> anyhow::Result<Vec<String>> {
        self.killed = self.cluster.leader().await?;
        let before = self.workload()?.observed()?;
        let survivor = self.cluster.follower().await?;
        let entry = self.entry("3-late", JOIN_TOKEN, "/late").await?;
        let name = self.cluster.servers[self.killed].name().to_owned();
        let killed_at = Instant::now();
        self.cluster.servers[self.killed].kill9().await?;

        let admin = self.cluster.servers[survivor].admin().clone();
        until("a write after the kill", WRITE_GAP_MAX, async || admin.create_entry(entry.clone()).await).await?;
        let gap = killed_at.elapsed();
        let created = Instant::now();
        let leader = self.cluster.servers[self.cluster.leader().await?].name().to_owned();
        let stream = self.stream.as_mut().context("no stream is open")?;
        stream.wait_for(LATE_ID, ARRIVAL_MAX).await?;
        let arrived = created.elapsed();
        let after = self
            .workload()?
            .wait_for("the workload rotates without the old leader", ROTATION_MAX, |now| {
                now.client_rotations > before.client_rotations
                    && now.server_rotations > before.server_rotations
                    && now.exchanges > before.exchanges
            })
            .await?;
        Ok(vec![
            format!("{name} is dead, {leader} leads; write gap {} ms", gap.as_millis()),
            format!("the new entry reached the open stream after {:.1} s", arrived.as_secs_f64()),
            format!(
                "the workload noticed nothing: {} exchanges, 0 errors, longest pause {} ms",
                after.exchanges, after.pause_max_ms
            ),
        ])
    }

    async fn restart_killed(&mut self) -> anyhow::Result<Vec<String>> {
        let server = &mut self.cluster.servers[self.killed];
        server.launch()?;
        server.ready().await?;
        self.cluster.caught_up(self.killed).await?;
        let states = self.cluster.converged().await?;
        let shown = self.cluster.servers.iter().zip(states).map(|(server, StateAt { applied_index, state_hash })| {
            format!("{} applied {applied_index} state {state_hash}", server.name())
        });
        Ok(shown.collect())
    }

    async fn stop(self) -> anyhow::Result<Vec<String>> {
        let mut pids: Vec<i32> = self.processes().map(Process::pid).collect();
        let Self { mut cluster, agents, workload, stream, scratch, .. } = self;
        drop(stream);
        if let Some(mut workload) = workload {
            pids.push(workload.pid());
            workload.observed()?.unharmed()?;
            workload.stop().await?;
        }
        for mut agent in agents {
            agent.stop().await?;
        }
        cluster.stop().await?;
        let dir = scratch.path().to_owned();
        scratch.remove()?;
        for pid in &pids {
            ensure!(kill(Pid::from_raw(*pid), None) == Err(Errno::ESRCH), "process {pid} is still there");
        }
        Ok(vec![format!("{} processes have ended, {} is gone", pids.len(), dir.display())])
    }

    /// What the agent's command line fetches is judged here by the server's bundle, not by what came with it.
    async fn fetch_x509(&self) -> anyhow::Result<String> {
        let dir = self.scratch.join("fetched");
        std::fs::create_dir_all(&dir)?;
        self.agents[0].cli(&["api", "fetch", "x509", "-write", &dir.to_string_lossy()]).await?;
        let pem = std::fs::read(dir.join("svid.0.pem"))?;
        let chain = pem::parse_many(pem)?.into_iter().map(|block| block.into_contents().into());
        let chain: Vec<_> = chain.collect();
        let bundle = self.cluster.servers[0].admin().bundle().await?;
        let roots: Vec<Vec<u8>> = bundle.x509_authorities.into_iter().map(|root| root.asn1).collect();
        let roots = TrustRoots::empty().with(TrustDomain::from_name(TRUST_DOMAIN)?, &roots)?;
        let id = verify_chain(&chain, &roots, SystemClock.now(), Usage::Client)?;
        ensure!(id.as_str() == CLIENT_ID, "the X.509-SVID is for {id}");
        Ok(format!("X.509-SVID for {id} verifies against the server's bundle"))
    }

    async fn fetch_jwt(&self) -> anyhow::Result<String> {
        let agent = &self.agents[0];
        let output = agent.cli(&["api", "fetch", "jwt", "-audience", AUDIENCE, "-output", "json"]).await?;
        let fetched: Value = serde_json::from_slice(&output.stdout).context("`api fetch jwt -output json`")?;
        let token = fetched.pointer("/0/svids/0/svid").and_then(Value::as_str).context("no token was printed")?;
        let output = agent.cli(&["api", "validate", "jwt", "-audience", AUDIENCE, "-svid", token]).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(text.contains("SVID is valid.") && text.contains(CLIENT_ID), "`api validate jwt` printed {text}");
        Ok(format!("JWT-SVID for {CLIENT_ID} is valid for audience {AUDIENCE}"))
    }

    /// For processes of the caller's user, at the agent that attested by `attestation_type`.
    async fn entry(&self, id: &str, attestation_type: &str, path: &str) -> anyhow::Result<types::Entry> {
        let parent = self.agent_id(attestation_type).await?;
        let entry = workload_entry(id, &parent, path, vec![own_uid_selector()]);
        Ok(types::Entry { x509_svid_ttl: SVID_TTL_SECS, ..entry })
    }

    async fn agent_id(&self, attestation_type: &str) -> anyhow::Result<types::Spiffeid> {
        let leader = &self.cluster.servers[self.cluster.leader().await?];
        let ids = leader.admin().agent_ids(attestation_type).await?;
        ids.into_iter().next().with_context(|| format!("no agent attested by {attestation_type}"))
    }

    /// Of the servers and agents that run.
    fn processes(&self) -> impl Iterator<Item = &Process> {
        let servers = self.cluster.servers.iter().filter_map(Server::process);
        servers.chain(self.agents.iter().map(Agent::process))
    }

    fn workload(&self) -> anyhow::Result<&Workload> {
        self.workload.as_ref().context("the workload does not run")
    }

    fn write_trust_bundle(&self, bundle: &types::Bundle) -> anyhow::Result<PathBuf> {
        let path = self.scratch.join("bundle.pem");
        let blocks = bundle.x509_authorities.iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1.clone()));
        std::fs::write(&path, pem::encode_many(&blocks.collect::<Vec<_>>()))?;
        Ok(path)
    }
}

/// A stream that has the SVID. Until the entry arrives the agent refuses the stream, and clients come back.
async fn stream_with(agent: &Agent, spiffe_id: &str) -> anyhow::Result<WorkloadStream> {
    until("the SVID's arrival", ARRIVAL_MAX, async || {
        let mut stream = WorkloadStream::open(&agent.socket()).await?;
        stream.wait_for(spiffe_id, ARRIVAL_MAX).await?;
        Ok::<_, anyhow::Error>(stream)
    })
    .await
}

const TRUST_DOMAIN: &str = "demo.test";
const CLIENT_ID: &str = "spiffe://demo.test/client";
const SERVER_ID: &str = "spiffe://demo.test/server";
const LATE_ID: &str = "spiffe://demo.test/late";
const AUDIENCE: &str = "demo";
const JOIN_TOKEN: &str = "join_token";
const X509POP: &str = "x509pop";
const REPLICAS: usize = 3;
const TOKEN_TTL: Duration = Duration::from_secs(60);
/// Rotates after six seconds.
const SVID_TTL_SECS: i32 = 12;
/// Two sync intervals of an agent, and some.
const ARRIVAL_MAX: Duration = Duration::from_secs(15);
const ROTATION_MAX: Duration = Duration::from_secs(20);
const WRITE_GAP_MAX: Duration = Duration::from_secs(10);
