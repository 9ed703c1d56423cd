//! Two replicas of a cluster whose log is taken for granted, and two agents.

use super::entry::{self, Entry};
use super::instant::Instant;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub now: Instant,
    /// Committed.
    pub log: Vec<Entry>,
    pub replicas: [Replica; 2],
    pub leader: u8,
    /// Of the leader, on its way into the log.
    pub decision: Option<Activation>,
    /// The first one.
    pub activated: Option<Activation>,
    pub agents: [Agent; 2],
    pub left: Budget,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    pub up: bool,
    /// Agents reach it, other replicas do not.
    pub cut_off: bool,
    /// Entries of the log.
    pub applied: usize,
    /// Since when it listens; `None`: for longer than an agent counts as alive.
    pub since: Option<Instant>,
    /// When it last heard of each agent, and the sequence number of the bundle that the agent has by what it heard.
    pub seen: [Option<(Instant, u8)>; 2],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agent {
    /// Sequence number of the bundle that its workloads have.
    pub holds: u8,
    /// Where it was last.
    pub home: u8,
    /// When it last authenticated anywhere; `None`: so long ago that it does not count as alive.
    pub seen: Option<Instant>,
}

/// What can still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Crashes and cuts.
    pub faults: u8,
    /// Of agents.
    pub moves: u8,
    /// Of authorities that are prepared.
    pub replacements: u8,
}

/// An authority is to take over, and what was true when that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Activation {
    pub number: u8,
    /// Because the wait was over.
    pub by_time: bool,
    /// Agents that did not count as alive.
    pub silent: [bool; 2],
    /// A replica that answers had not applied what publishes the authority.
    pub replica_lacks: bool,
}

impl World {
    /// When a successor is to be prepared. Nobody was heard of for a while.
    pub fn begin(left: Budget) -> Self {
        let replica = Replica { up: true, cut_off: false, applied: 0, since: None, seen: [None, None] };
        let agent = |home| Agent { holds: entry::FIRST_SEQUENCE, home, seen: None };
        Self {
            now: Instant::First,
            log: Vec::new(),
            replicas: [replica.clone(), replica],
            leader: 0,
            decision: None,
            activated: None,
            agents: [agent(0), agent(1)],
            left,
        }
    }

    pub fn replica(&self, replica: u8) -> &Replica {
        &self.replicas[usize::from(replica)]
    }

    pub fn replica_mut(&mut self, replica: u8) -> &mut Replica {
        &mut self.replicas[usize::from(replica)]
    }

    pub fn tick(&mut self) {
        let Some(now) = self.now.next() else { return };
        self.now = now;
        let is_recent = |at: &Instant| at.is_recent(now);
        for agent in &mut self.agents {
            agent.seen = agent.seen.filter(is_recent);
        }
        for replica in &mut self.replicas {
            replica.since = replica.since.filter(is_recent);
            for seen in &mut replica.seen {
                *seen = seen.filter(|(at, _)| at.is_recent(now));
            }
        }
    }

    /// It answers, and has applied all that is committed.
    pub fn leader_may_act(&self) -> bool {
        let leader = self.replica(self.leader);
        leader.answers() && leader.applied == self.log.len()
    }

    pub fn decides(&self) -> bool {
        self.decision.is_some()
    }

    pub fn next_number(&self) -> u8 {
        let prepared = self.log.iter().filter(|entry| matches!(entry, Entry::Prepare { .. })).count();
        entry::FIRST + 1 + u8::try_from(prepared).unwrap_or(u8::MAX)
    }

    /// While the successor can still become due.
    pub fn may_replace(&self) -> bool {
        self.left.replacements > 0 && self.log.len() == 1 && self.now <= Instant::Due
    }

    /// Committed, and applied by the leader.
    pub fn write(&mut self, entry: Entry) {
        self.log.push(entry);
        let length = self.log.len();
        self.replica_mut(self.leader).applied = length;
    }

    /// Whether the replica has not applied what publishes the authority.
    pub fn lacks_authority(&self, replica: u8, wanted: u8) -> bool {
        let publishes = |entry: &Entry| matches!(entry, Entry::Prepare { number, .. } if *number == wanted);
        !self.log[..self.replica(replica).applied].iter().any(publishes)
    }

    /// The other replica leads from now on, if it can.
    pub fn depose(&mut self, replica: u8) {
        if self.leader == replica {
            self.decision = None;
            let other = 1 - replica;
            if self.replica(other).answers() {
                self.leader = other;
            }
        }
    }

    pub fn restart(&mut self, replica: u8) {
        let now = self.now;
        let restarted = self.replica_mut(replica);
        restarted.up = true;
        restarted.since = Some(now);
        self.lead_if_nobody_does(replica);
    }

    pub fn mend(&mut self, replica: u8) {
        self.replica_mut(replica).cut_off = false;
        self.lead_if_nobody_does(replica);
    }

    fn lead_if_nobody_does(&mut self, replica: u8) {
        if !self.replica(self.leader).answers() {
            self.leader = replica;
        }
    }
}

impl Replica {
    /// Other replicas reach it.
    pub fn answers(&self) -> bool {
        self.up && !self.cut_off
    }

    /// What it remembers goes with it; the log and the state are on its disk.
    pub fn crash(&mut self) {
        self.up = false;
        self.since = None;
        self.seen = [None, None];
    }
}
