//! Workloads on two agents that show each other their SVIDs all the time: what one shows, the other has to verify by
//! the bundle that it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use steeple_api::types;
use steeple_api::workload::X509svidResponse;
use steeple_ca::certificate;
use steeple_core::{Clock as _, SystemClock};
use steeple_testkit::{Agent, AgentSpec, Attestation, WorkloadStream, own_uid_selector, until, workload_entry};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::site::{Site, TRUST_DOMAIN};
use super::tokens::Tokens;
use crate::register::Recorder;

const AGENTS: usize = 2;
/// Short, so that SVIDs rotate during every fault.
const SVID_TTL_SECS: i32 = 60;
const SVID: &str = "spiffe://chaos.test/workload";
const ARRIVAL_MAX: Duration = Duration::from_secs(60);
/// An update that was sent is read within this time.
const UNREAD_MAX: Duration = Duration::from_millis(1_000);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What a workload was sent last.
type Shown = watch::Receiver<X509svidResponse>;

/// Agents, their workloads, and who compares them.
pub(super) struct Workloads {
    agents: Vec<Agent>,
    shown: Vec<Shown>,
    updates: Arc<AtomicU64>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Workloads {
    pub(super) async fn start(site: &Site, recorder: &Arc<Recorder>) -> anyhow::Result<Self> {
        let mut workloads =
            Self { agents: Vec::new(), shown: Vec::new(), updates: Arc::default(), tasks: JoinSet::new() };
        let admin = site.cluster.servers[0].admin();
        let roots = admin.bundle().await?.x509_authorities;
        let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        let trust_bundle = site.scratch.join("bundle.pem");
        std::fs::write(&trust_bundle, pem::encode_many(&blocks))?;
        for number in 1..=AGENTS {
            let node = site.nodes.issue(site.scratch.path(), &format!("node-{number}"))?;
            let spec = AgentSpec {
                name: format!("agent-{number}"),
                trust_domain: TRUST_DOMAIN.to_owned(),
                servers: site.cluster.api_addresses(),
                trust_bundle: trust_bundle.clone(),
                attestation: Attestation::X509Pop(node),
                log_level: "INFO".to_owned(),
                lines: Vec::new(),
            };
            workloads.agents.push(Agent::start(&site.binaries, site.scratch.path(), &spec)?);
        }
        for agent in &mut workloads.agents {
            agent.ready().await?;
        }
        for parent in admin.agent_ids("x509pop").await? {
            let entry = workload_entry("", &parent, "/workload", vec![own_uid_selector()]);
            admin.create_entry(types::Entry { x509_svid_ttl: SVID_TTL_SECS, ..entry }).await?;
        }
        for (number, agent) in workloads.agents.iter().enumerate() {
            let (stream, first) = first_svid(agent).await?;
            record(number, &first, recorder)?;
            let (sender, shown) = watch::channel(first);
            workloads.shown.push(shown);
            let updates = Arc::clone(&workloads.updates);
            workloads.tasks.spawn(follow(number, stream, sender, updates, Arc::clone(recorder)));
        }
        for (own, other) in [(0, 1), (1, 0)] {
            let (shows, verifies) = (workloads.shown[own].clone(), workloads.shown[other].clone());
            workloads.tasks.spawn(compare(shows, verifies, Arc::clone(recorder)));
            let (shows, verifies) = (workloads.agents[own].socket(), workloads.agents[other].socket());
            workloads.tasks.spawn(Tokens::begin(own, shows, verifies, Arc::clone(recorder)).await?.exchange());
        }
        Ok(workloads)
    }

    /// From now on.
    pub(super) fn renewed(&self) -> Renewed {
        let mut shown = self.shown.clone();
        shown.iter_mut().for_each(|shown| {
            shown.borrow_and_update();
        });
        Renewed(shown)
    }

    /// Ends all of it. Returns how many updates the workloads were sent after their first.
    pub(super) async fn stop(mut self, recorder: &Recorder) -> anyhow::Result<u64> {
        // Nothing in here ends by itself, unless it finds something.
        while let Some(ended) = self.tasks.try_join_next() {
            recorder.violation(&format!("a workload was given up by its agent: {ended:?}"))?;
        }
        self.tasks.shutdown().await;
        for agent in &mut self.agents {
            agent.stop().await?;
        }
        Ok(self.updates.load(Ordering::Relaxed))
    }
}

/// Whether workloads were sent anything since then.
pub(super) struct Renewed(Vec<Shown>);

impl Renewed {
    /// All of them.
    pub(super) async fn wait(mut self, limit: Duration) -> anyhow::Result<()> {
        for shown in &mut self.0 {
            timeout(limit, shown.changed()).await.context("a workload was sent no new SVID")??;
        }
        Ok(())
    }
}

/// A stream and its first update. Until the entry arrives the agent refuses the stream, and workloads come back.
async fn first_svid(agent: &Agent) -> anyhow::Result<(WorkloadStream, X509svidResponse)> {
    until("the first SVID", ARRIVAL_MAX, async || {
        let mut stream = WorkloadStream::open(&agent.socket()).await?;
        let first = stream.wait_for(SVID, ARRIVAL_MAX).await?;
        Ok::<_, anyhow::Error>((stream, first))
    })
    .await
}

/// Every update has to verify by the bundle that comes with it.
async fn follow(
    number: usize,
    mut stream: WorkloadStream,
    shown: watch::Sender<X509svidResponse>,
    updates: Arc<AtomicU64>,
    recorder: Arc<Recorder>,
) -> anyhow::Result<()> {
    loop {
        let update = stream.next().await.context("the Workload API")?;
        if !verifies(&update, &update)? {
            recorder.violation("an SVID that its own update cannot verify")?;
        }
        record(number, &update, &recorder)?;
        updates.fetch_add(1, Ordering::Relaxed);
        shown.send_replace(update);
    }
}

/// Which authority signed what a workload was sent, and which ones it holds.
fn record(number: usize, update: &X509svidResponse, recorder: &Recorder) -> anyhow::Result<()> {
    let svid = update.svids.first().context("an update without an SVID")?;
    let leaf = certificate::facts(&svid.x509_svid).context("no leaf")?;
    let bundle = certificate::split(&svid.bundle).context("a bundle that is no certificates")?;
    let roots = bundle.iter().filter_map(|root| certificate::facts(root)?.subject_key_id);
    let issuer = leaf.authority_key_id.context("a leaf that does not name its issuer")?;
    recorder.shown(number, hex(&issuer), roots.map(|id| hex(&id)).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `shows` shows has to be valid, and to verify by what `verifier` holds.
async fn compare(shows: Shown, verifier: Shown, recorder: Arc<Recorder>) -> anyhow::Result<()> {
    loop {
        sleep(LOOK_INTERVAL).await;
        let (svid, bundle) = (shows.borrow().clone(), verifier.borrow().clone());
        let Some(trouble) = trouble(&svid, &bundle)? else { continue };
        // Perhaps the next update of either waits to be read.
        sleep(UNREAD_MAX).await;
        if *shows.borrow() == svid && *verifier.borrow() == bundle {
            recorder.violation(&format!("an SVID in use {trouble}"))?;
        }
    }
}

fn trouble(svid: &X509svidResponse, bundle: &X509svidResponse) -> anyhow::Result<Option<&'static str>> {
    if !verifies(svid, bundle)? {
        return Ok(Some("that another workload cannot verify"));
    }
    let chain = svid.svids.first().and_then(|svid| certificate::split(&svid.x509_svid)).unwrap_or_default();
    let leaf = chain.first().and_then(|der| certificate::facts(der)).context("no leaf")?;
    let now = SystemClock.now();
    Ok((leaf.not_after < now || now < leaf.not_before).then_some("that is not valid now"))
}

/// Whether the SVIDs of one update verify by an authority in the bundle of another that is valid now.
fn verifies(shown: &X509svidResponse, by: &X509svidResponse) -> anyhow::Result<bool> {
    let bundle = by.svids.first().context("an update without an SVID")?.bundle.as_slice();
    let (roots, now) = (certificate::split(bundle).context("a bundle that is no certificates")?, SystemClock.now());
    let is_valid =
        |root: &[u8]| certificate::facts(root).is_some_and(|root| root.not_before <= now && now <= root.not_after);
    for svid in &shown.svids {
        let chain = certificate::split(&svid.x509_svid).context("an SVID that is no certificates")?;
        let last = chain.last().context("an SVID without a certificate")?;
        if !roots.iter().any(|root| is_valid(root) && certificate::is_signed_by(last, root)) {
            return Ok(false);
        }
    }
    ensure!(!shown.svids.is_empty(), "an update without an SVID");
    Ok(true)
}
