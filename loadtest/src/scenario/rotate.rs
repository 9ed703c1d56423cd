//! The signing authority replaced by hand under a fleet that holds SVIDs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use parking_lot::Mutex;
use steeple_api::server::localauthority::{
    ActivateX509AuthorityRequest, GetX509AuthorityStateRequest, PrepareX509AuthorityRequest, TaintX509AuthorityRequest,
};
use steeple_api::types;
use steeple_core::TrustDomain;
use steeple_transport::tls::{SharedRoots, TrustRoots};
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::issuers::{Ticket, x509_svids};
use crate::fleet::{Agent, Change, Followers, Observer};
use crate::gates::{Trust, verify_x509};
use crate::load::Pace;
use crate::report::{Gate, Reading, Report, Window};
use crate::target::{Options, Target, Wanted, create_all, until_authorized};

/// 200 agents with 5 SVIDs each follow; an authority is prepared, activated, and the old one tainted. Agents mint anew
/// and attest again when they see the taint. Time until all SVIDs are on the new key, and whether any SVID ever
/// failed to verify. W13.
#[derive(Args, Clone, Debug)]
pub struct RotateArgs {
    /// SVIDs of each agent.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub entries: u16,
}

/// What each agent holds.
struct Fleet {
    trust_domain: TrustDomain,
    /// Of the agents' connections: the server's own certificate is on the new key soon.
    roots: SharedRoots,
    tickets: Vec<Vec<Ticket>>,
    held: Vec<Mutex<Vec<types::X509svid>>>,
    /// Agents whose bundle has the new authority.
    seen_new: Mutex<BTreeSet<usize>>,
    /// Agents whose SVIDs are all on the new key.
    on_new_key: Mutex<BTreeSet<usize>>,
    verified: AtomicU64,
    failures: Mutex<Vec<String>>,
}

pub(crate) async fn run(options: &Options, args: &RotateArgs) -> anyhow::Result<Report> {
    let (count, entries) = (options.agents(AGENTS)?, usize::from(args.entries));
    let target = Target::start(options).await?;
    let (agents, fleet) = set_up(&target, count, entries).await?;
    let (seed, interval) = (options.seed, options.sync_interval());
    let pace = |number: usize| Pace::new(interval, seed ^ (number as u64) << 20);
    let mut followers = Followers::start(&agents, options.sync, &fleet, pace);
    followers.all_synced(&target.progress).await?;

    let mut authorities = target.admin()?.local_authorities();
    let state = authorities.get_x509_authority_state(GetX509AuthorityStateRequest {}).await?.into_inner();
    let old = state.active.context("no active X.509 authority")?.authority_id;
    let window = Window::open("rotating", target.pids())?;
    let began = Instant::now();
    let prepared = authorities.prepare_x509_authority(PrepareX509AuthorityRequest {}).await?.into_inner();
    let new = prepared.prepared_authority.context("no authority was prepared")?.authority_id;
    target.progress.step("prepared; agents learn the bundle", 0);
    fleet.all(&fleet.seen_new, "agents hold the new bundle").await?;
    let published = began.elapsed();
    authorities.activate_x509_authority(ActivateX509AuthorityRequest { authority_id: new }).await?;
    authorities.taint_x509_authority(TaintX509AuthorityRequest { authority_id: old }).await?;
    let tainted = Instant::now();
    target.progress.step("tainted; agents mint anew", 0);
    fleet.all(&fleet.on_new_key, "agents hold SVIDs of the new key").await?;
    let replaced = tainted.elapsed();
    let usage = window.close()?;
    drop(followers);

    let mut report = target.report("rotate", &format!("--agents {count} --entries {entries}"));
    let svids = (count * entries) as f64;
    report.readings = vec![
        Reading::less("prepared to every agent's bundle", published.as_secs_f64(), "s"),
        Reading::less("tainted to every SVID on the new key", replaced.as_secs_f64(), "s"),
        Reading::less("server CPU, for an SVID", usage.server_cpu_seconds * 1e3 / svids, "ms"),
    ];
    report.windows.push(usage);
    report.gates.push(fleet.gate());
    target.stop().await?;
    Ok(report)
}

async fn set_up(target: &Target, count: usize, entries: usize) -> anyhow::Result<(Vec<Arc<Agent>>, Arc<Fleet>)> {
    let agents = target.agents(count, |number| format!("node-{number}")).await?;
    let parents: Vec<types::Spiffeid> = agents.iter().map(|agent| agent.id.clone()).collect();
    let path = move |number: usize| format!("/load/{number}");
    let wanted = move |number: u64| {
        Wanted { path: path(number as usize), parent: parents[number as usize / entries].clone() }.entry()
    };
    let ids = create_all(|| target.admin(), (count * entries) as u64, wanted, &target.progress).await?;
    until_authorized(&agents, entries, &target.progress).await?;
    let mut tickets = Vec::with_capacity(count);
    for (agent, ids) in ids.chunks(entries).enumerate() {
        let own = ids.iter().enumerate();
        let own = own.map(|(entry, id)| Ticket::new(target, id.clone(), format!("/load/{}", agent * entries + entry)));
        tickets.push(own.collect::<anyhow::Result<Vec<_>>>()?);
    }
    let fleet = Fleet {
        trust_domain: target.trust_domain().clone(),
        roots: Arc::clone(&target.domain.roots),
        held: agents.iter().map(|_| Mutex::default()).collect(),
        tickets,
        seen_new: Mutex::default(),
        on_new_key: Mutex::default(),
        verified: AtomicU64::new(0),
        failures: Mutex::default(),
    };
    target.progress.step("minting what agents hold", count as u64);
    for agent in &agents {
        fleet.mint(agent).await?;
        target.progress.add(1);
    }
    Ok((agents, Arc::new(fleet)))
}

impl Fleet {
    async fn all(&self, who: &Mutex<BTreeSet<usize>>, what: &str) -> anyhow::Result<()> {
        let (began, count) = (Instant::now(), self.held.len());
        while who.lock().len() < count {
            if began.elapsed() > STEP_MAX {
                bail!("{} of {count} {what} after {STEP_MAX:?}; {}", who.lock().len(), self.gate().detail);
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn mint(&self, agent: &Agent) -> anyhow::Result<()> {
        let tickets: Vec<&Ticket> = self.tickets[agent.number].iter().collect();
        let mut minted = Vec::with_capacity(tickets.len());
        x509_svids(&agent.channel(), &tickets, |_, svid| minted.push(svid.clone())).await?;
        *self.held[agent.number].lock() = minted;
        Ok(())
    }

    async fn keep_up(&self, agent: &Agent, bundle: &types::Bundle) -> anyhow::Result<()> {
        self.verify(agent.number, bundle, VERIFIED_AT_A_SYNC)?;
        if bundle.x509_authorities.len() < 2 {
            return Ok(());
        }
        if self.seen_new.lock().insert(agent.number) {
            let roots: Vec<&[u8]> = bundle.x509_authorities.iter().map(|root| root.asn1.as_slice()).collect();
            self.roots.store(Arc::new(TrustRoots::empty().with(self.trust_domain.clone(), &roots)?));
        }
        let has_taint = bundle.x509_authorities.iter().any(|root| root.tainted);
        if has_taint && !self.on_new_key.lock().contains(&agent.number) {
            agent.attest_again().await?;
            self.mint(agent).await?;
            let untainted = types::Bundle {
                x509_authorities: bundle.x509_authorities.iter().filter(|root| !root.tainted).cloned().collect(),
                ..bundle.clone()
            };
            self.verify(agent.number, &untainted, usize::MAX).context("minted after the taint")?;
            self.on_new_key.lock().insert(agent.number);
        }
        Ok(())
    }

    /// What the agent holds, as a peer with `bundle` would.
    fn verify(&self, agent: usize, bundle: &types::Bundle, count: usize) -> anyhow::Result<()> {
        let trust = Trust::new(&self.trust_domain, bundle)?;
        let held = self.held[agent].lock();
        for (svid, ticket) in held.iter().zip(&self.tickets[agent]).take(count) {
            verify_x509(&trust, svid, &ticket.path, &ticket.public_key)?;
            self.verified.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn gate(&self) -> Gate {
        let (verified, failures) = (self.verified.load(Ordering::Relaxed), self.failures.lock());
        let first = failures.first().map_or(String::new(), |first| format!("; the first: {first}"));
        let detail = format!("{verified} verifications, {} failures{first}", failures.len());
        Gate::new("every SVID verifies all the time", failures.is_empty() && verified > 0, detail)
    }

    fn fail(&self, what: String) {
        let mut failures = self.failures.lock();
        if failures.len() < FAILURES_KEPT {
            failures.push(what);
        }
    }
}

impl Observer for Fleet {
    async fn synced(&self, agent: &Agent, change: Change) {
        if let Err(error) = self.keep_up(agent, &change.bundle).await {
            self.fail(format!("agent {}: {error:#}", agent.number));
        }
    }

    fn failed(&self, agent: &Agent, status: &Status) {
        self.fail(format!("agent {}: {:?}: {}", agent.number, status.code(), status.message()));
    }
}

const AGENTS: usize = 200;
const VERIFIED_AT_A_SYNC: usize = 1;
const STEP_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const FAILURES_KEPT: usize = 100;
