//! One seed from the founding of its cluster to the verdict.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use steeple_server_raft::raft::{Role, Status};
use steeple_testkit::Dice;
use turmoil::Sim;

use crate::clients;
use crate::fault::{Fault, Scheduled};
use crate::node::client_ip;
use crate::watch::Watch;
use crate::world::{Phase, World};
use crate::{Plan, Progress, Verdict, server};

/// Everything happens on this thread. `dir` is for the disks, best in memory.
pub fn run(plan: &Plan, dir: &Path, progress: &Progress) -> anyhow::Result<Verdict> {
    let world = World::new(plan, dir)?;
    let mut sim = turmoil::Builder::new()
        .simulation_duration(Duration::MAX)
        .tick_duration(TICK)
        .max_message_latency(plan.latency_max)
        .tcp_capacity(SEGMENTS_MAX)
        .ephemeral_ports(1024..=u16::MAX)
        .rng_seed(plan.seed)
        .build();
    for node in &world.nodes {
        let node = Arc::clone(node);
        sim.host(node.ip(), move || server::run(Arc::clone(&node)));
    }
    for (number, client) in clients::all(&world).into_iter().enumerate() {
        sim.client(client_ip(number), client);
    }
    let mut run = Run {
        sim,
        watch: Watch::default(),
        down: vec![0; plan.servers],
        dice: Dice::new(!plan.seed),
        verdict: Verdict { seed: plan.seed, ..Verdict::default() },
        world,
        progress,
    };
    let outcome = run.live();
    Ok(run.judge(outcome))
}

struct Run<'a> {
    world: Arc<World>,
    sim: Sim<'a>,
    watch: Watch,
    /// How many faults keep each server down.
    down: Vec<u32>,
    dice: Dice,
    verdict: Verdict,
    progress: &'a Progress,
}

/// The run ends here: a finding stands in the world.
struct Ended;

impl Run<'_> {
    fn live(&mut self) -> Result<(), Ended> {
        self.until("founding", FOUND_MAX, is_whole)?;
        self.world.phase.send_replace(Phase::Load);
        self.load()?;
        self.heal();
        self.world.phase.send_replace(Phase::Healing);
        self.until("convergence", HEAL_MAX, |world| is_whole(world) && world.is_healed())?;
        self.scan();
        Ok(())
    }

    fn load(&mut self) -> Result<(), Ended> {
        let begun = self.world.elapsed();
        let mut due: Vec<(Duration, bool, Fault)> = Vec::new();
        for Scheduled { at, lasts, fault } in &self.world.plan.faults {
            due.push((begun + *at, true, fault.clone()));
            due.push((begun + *at + *lasts, false, fault.clone()));
        }
        due.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let end = begun + self.world.plan.load;
        while self.world.elapsed() < end {
            while due.last().is_some_and(|(at, ..)| *at <= self.world.elapsed()) {
                let Some((_, begins, fault)) = due.pop() else { break };
                tracing::info!(at = ?self.world.elapsed(), begins, ?fault, "fault");
                if begins { self.inflict(&fault) } else { self.undo(&fault) }
            }
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Ended> {
        if let Err(error) = self.sim.step() {
            self.world.find("no panic", Err(error.to_string()));
        }
        self.world.reach(self.sim.elapsed());
        self.progress.reach(self.sim.elapsed());
        self.watch.look(&self.world);
        if self.world.finding().is_some() { Err(Ended) } else { Ok(()) }
    }

    fn until(&mut self, what: &'static str, most: Duration, reached: fn(&World) -> bool) -> Result<(), Ended> {
        let begun = self.world.elapsed();
        while !reached(&self.world) {
            if self.world.elapsed() - begun > most {
                self.world.find(what, Err(format!("not within {most:?}: {}", stand(&self.world))));
            }
            self.step()?;
        }
        Ok(())
    }

    fn inflict(&mut self, fault: &Fault) {
        *self.verdict.faults.entry(fault.kind()).or_default() += 1;
        match fault {
            Fault::PowerCut { servers } => servers.iter().for_each(|server| self.cut_power(*server)),
            Fault::DiskReplaced { server } => {
                self.cut_power(*server);
                let replaced = self.world.nodes[*server].disk.replace();
                self.world.find("simulation", replaced.map_err(|error| error.to_string()));
            }
            Fault::Split { servers } => self.across(servers, |sim, one, other| sim.partition(one, other)),
            Fault::Deaf { from, to } => self.sim.partition_oneway(self.ip(*from), self.ip(*to)),
            Fault::Held { server } => self.across(&[*server], |sim, one, other| sim.hold(one, other)),
            Fault::Clock { server, ahead_ms } => self.world.nodes[*server].clock.set_ahead(*ahead_ms),
            Fault::ClientCutOff { client } => self.to_servers(*client, |sim, one, other| sim.partition(one, other)),
        }
    }

    fn undo(&mut self, fault: &Fault) {
        match fault {
            Fault::PowerCut { servers } => servers.iter().for_each(|server| self.power_up(*server)),
            Fault::DiskReplaced { server } => self.power_up(*server),
            Fault::Split { servers } => self.across(servers, |sim, one, other| sim.repair(one, other)),
            Fault::Deaf { from, to } => self.sim.repair_oneway(self.ip(*from), self.ip(*to)),
            Fault::Held { server } => self.across(&[*server], |sim, one, other| sim.release(one, other)),
            Fault::Clock { server, .. } => self.world.nodes[*server].clock.set_ahead(0),
            Fault::ClientCutOff { client } => self.to_servers(*client, |sim, one, other| sim.repair(one, other)),
        }
    }

    fn cut_power(&mut self, server: usize) {
        self.down[server] += 1;
        if self.down[server] > 1 {
            return;
        }
        let node = Arc::clone(&self.world.nodes[server]);
        self.sim.crash(node.ip());
        node.stopped();
        match node.disk.lose(&mut self.dice) {
            Ok(lost) => *self.verdict.seen.entry("bytes lost").or_default() += lost,
            Err(error) => self.world.find("simulation", Err(format!("server {server}: {error}"))),
        }
    }

    fn power_up(&mut self, server: usize) {
        self.down[server] = self.down[server].saturating_sub(1);
        if self.down[server] == 0 {
            self.sim.bounce(self.ip(server));
        }
    }

    /// Everything works again.
    fn heal(&mut self) {
        for one in 0..self.world.plan.servers {
            for other in one + 1..self.world.plan.servers {
                self.sim.release(self.ip(one), self.ip(other));
                self.sim.repair(self.ip(one), self.ip(other));
            }
            self.world.nodes[one].clock.set_ahead(0);
            if std::mem::take(&mut self.down[one]) > 0 {
                self.sim.bounce(self.ip(one));
            }
        }
        for client in 0..=self.world.plan.writers + self.world.plan.agents {
            self.to_servers(client, |sim, one, other| sim.repair(one, other));
        }
    }

    /// What was acknowledged is on every server, and nothing is there that nobody asked for.
    fn scan(&mut self) {
        let entries: Vec<String> = self.world.ledger().entries.keys().cloned().collect();
        for node in &self.world.nodes {
            let Some(replica) = node.replica() else { continue };
            for id in &entries {
                let found = replica.state().read().entry(id).and_then(|entry| clients::version(&entry.hint));
                let mut ledger = self.world.ledger();
                let register = ledger.entries.entry(id.clone()).or_default();
                let reading = register.begin_reading();
                let outcome = register.read(reading, found);
                drop(ledger);
                let at = |text| format!("{id} on server {}: {text}", node.number);
                self.world.find("acknowledged writes", outcome.map_err(at));
            }
        }
    }

    fn judge(self, _: Result<(), Ended>) -> Verdict {
        let Self { world, watch, mut verdict, sim, .. } = self;
        verdict.finding = world.finding();
        verdict.elapsed = world.elapsed();
        verdict.calls = world.ledger().calls.clone();
        verdict.seen.insert("terms", watch.terms());
        verdict.seen.insert("authorities activated", watch.authorities_activated());
        // Its hosts hold the stores open, and so does a replica that is not let go.
        drop(sim);
        world.nodes.iter().for_each(|node| node.stopped());
        verdict
    }

    fn ip(&self, server: usize) -> std::net::IpAddr {
        self.world.nodes[server].ip()
    }

    /// For each pair of one of `servers` and one of the others.
    fn across(&self, servers: &[usize], act: impl Fn(&Sim<'_>, std::net::IpAddr, std::net::IpAddr)) {
        let others: Vec<usize> = (0..self.world.plan.servers).filter(|server| !servers.contains(server)).collect();
        for one in servers {
            others.iter().for_each(|other| act(&self.sim, self.ip(*one), self.ip(*other)));
        }
    }

    fn to_servers(&self, client: usize, act: impl Fn(&Sim<'_>, std::net::IpAddr, std::net::IpAddr)) {
        (0..self.world.plan.servers).for_each(|server| act(&self.sim, client_ip(client), self.ip(server)));
    }
}

/// All servers run, vote, follow one leader and have applied the same.
fn is_whole(world: &World) -> bool {
    let all: Vec<Status> = world.nodes.iter().filter_map(|node| node.status()).collect();
    let Some(first) = all.first() else { return false };
    all.len() == world.plan.servers
        && first.leader_id.is_some()
        && voters(first) == world.plan.servers
        && all.iter().all(|status| {
            status.leader_id == first.leader_id
                && status.applied_index == first.applied_index
                && status.state_hash == first.state_hash
        })
}

fn voters(status: &Status) -> usize {
    status.members.iter().filter(|member| member.role != Role::Learner).count()
}

/// For whoever reads why that did not come about.
fn stand(world: &World) -> String {
    let of = |node: &Arc<crate::node::Node>| match node.status() {
        None => format!("server {} does not run", node.number),
        Some(status) => format!(
            "server {} is node {} in term {} under {:?}, applied {}, {} voters",
            node.number,
            status.node_id,
            status.term,
            status.leader_id,
            status.applied_index,
            voters(&status)
        ),
    };
    world.nodes.iter().map(of).collect::<Vec<_>>().join("; ")
}

/// Of simulated time. Messages are delivered between two of them.
const TICK: Duration = Duration::from_millis(5);
/// Of one connection on the way.
const SEGMENTS_MAX: usize = 1 << 14;
const FOUND_MAX: Duration = Duration::from_secs(60);
/// Elections, a snapshot, and a member that takes the place of another.
const HEAL_MAX: Duration = Duration::from_secs(60);
