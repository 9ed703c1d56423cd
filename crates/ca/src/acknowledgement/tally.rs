//! From the answers of all replicas to what the life cycle waits for.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest;
use steeple_core::SpiffeId;

use crate::lifecycle::AckState;

/// Agents that one answer names; the others are only counted. 1,000 IDs of the greatest length are 2 MiB.
pub const LISTED_MAX: usize = 1_000;

/// Who is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Of the own bundle: whoever holds an earlier one is missing.
    pub sequence: u64,
    /// Subject key id of a tainted authority: whoever still shows a certificate that it signed is missing too.
    pub distrusted: Option<Vec<u8>>,
    /// Agents that other replicas miss, at most [`LISTED_MAX`] of each: perhaps they are here now.
    pub missing_elsewhere: Vec<SpiffeId>,
}

/// What one replica knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Of the own bundle in the replica's state.
    pub sequence: u64,
    /// It has listened for as long as an agent counts as alive, so it knows every agent that uses it.
    pub complete: bool,
    /// Who authenticated here lately.
    pub live: Vec<LiveAgent>,
    /// Of `live`: those that do not hold what is asked for.
    pub missing: usize,
    /// Their IDs, at most [`LISTED_MAX`].
    pub missing_agents: Vec<SpiffeId>,
    /// Of the agents that are missing elsewhere, those that hold what is asked for.
    pub found: Vec<SpiffeId>,
}

/// An agent as one replica counts it. For a minute after it moved two replicas do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveAgent {
    /// The first 62 bits of the SHA-256 of its ID, and two zeros: 100,000 agents share none but once in 10^9 fleets.
    pub digest: u64,
    /// It counts by fetching the bundle, and does not say what it holds.
    pub polling: bool,
    /// It acknowledged any bundle.
    pub acknowledging: bool,
}

/// What all replicas know together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Positions of the replicas that are silent, behind, or have not listened for long enough.
    pub missing_replicas: Vec<usize>,
    /// Agents that hold an earlier bundle by every account, as far as they are named.
    pub missing_agents: BTreeSet<SpiffeId>,
    /// Agents that are missing and not named.
    pub unnamed: usize,
    pub live: usize,
    pub polling: usize,
    pub acknowledging: usize,
}

impl LiveAgent {
    pub fn new(id: &SpiffeId, polling: bool, acknowledging: bool) -> Self {
        let hash = digest::digest(&digest::SHA256, id.to_string().as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_ref()[..8]);
        Self { digest: u64::from_be_bytes(first) & !FLAGS, polling, acknowledging }
    }

    /// As the peer protocol has it.
    pub fn to_wire(self) -> u64 {
        self.digest | u64::from(self.polling) << 1 | u64::from(self.acknowledging)
    }

    pub fn from_wire(wire: u64) -> Self {
        Self { digest: wire & !FLAGS, polling: wire & 0b10 != 0, acknowledging: wire & 0b01 != 0 }
    }

    /// Both replicas are right: what it said to one of them, it need not repeat to the other.
    fn merge(&mut self, other: Self) {
        self.polling &= other.polling;
        self.acknowledging |= other.acknowledging;
    }
}

const FLAGS: u64 = 0b11;

/// Adds up the answers; `None` is a replica that gave none.
pub fn tally(sequence: u64, answers: &[Option<Answer>]) -> Tally {
    let mut tally = Tally::default();
    let mut found = BTreeSet::new();
    let mut live = BTreeMap::<u64, LiveAgent>::new();
    for (position, answer) in answers.iter().enumerate() {
        let Some(answer) = answer else {
            tally.missing_replicas.push(position);
            continue;
        };
        if !answer.complete || answer.sequence < sequence {
            tally.missing_replicas.push(position);
        }
        for agent in &answer.live {
            live.entry(agent.digest).and_modify(|known| known.merge(*agent)).or_insert(*agent);
        }
        let unnamed = answer.missing.saturating_sub(answer.missing_agents.len());
        tally.unnamed = tally.unnamed.saturating_add(unnamed);
        tally.missing_agents.extend(answer.missing_agents.iter().cloned());
        found.extend(&answer.found);
    }
    tally.missing_agents.retain(|agent| !found.contains(agent));
    tally.live = live.len();
    tally.polling = live.values().filter(|agent| agent.polling).count();
    tally.acknowledging = live.values().filter(|agent| agent.acknowledging).count();
    tally
}

impl Tally {
    /// Agents and replicas that have not acknowledged.
    pub fn missing(&self) -> usize {
        self.unnamed.saturating_add(self.missing_replicas.len() + self.missing_agents.len())
    }

    /// A fleet in which nobody acknowledges anything is one that cannot: it goes by SPIRE's timing. That is only known
    /// once every replica has been heard.
    pub fn state(&self) -> AckState {
        match self.missing() {
            _ if self.missing_replicas.is_empty() && self.acknowledging == 0 => AckState::NotTracked,
            0 => AckState::All,
            missing => AckState::Waiting { missing },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> SpiffeId {
        SpiffeId::parse(&format!("spiffe://example.org/spire/agent/{name}")).unwrap()
    }

    fn heard(acknowledging: usize, missing: &[&str]) -> Answer {
        let missing_agents: Vec<SpiffeId> = missing.iter().map(|name| agent(name)).collect();
        let missing = missing_agents.len();
        let acknowledging = (0..acknowledging).map(|number| LiveAgent::new(&agent(&number.to_string()), false, true));
        let silent = missing_agents.iter().map(|id| LiveAgent::new(id, false, false));
        Answer {
            sequence: 7,
            complete: true,
            live: acknowledging.chain(silent).collect(),
            missing,
            missing_agents,
            ..Answer::default()
        }
    }

    fn state(answers: &[Option<Answer>]) -> AckState {
        tally(7, answers).state()
    }

    #[test]
    fn everybody_has_it() {
        assert_eq!(state(&[Some(heard(2, &[])), Some(heard(0, &[]))]), AckState::All);
    }

    #[test]
    fn nobody_acknowledges_anything() {
        assert_eq!(state(&[Some(heard(0, &[]))]), AckState::NotTracked);
        assert_eq!(state(&[Some(heard(0, &["a", "b"]))]), AckState::NotTracked);
    }

    #[test]
    fn a_replica_that_may_know_more_is_waited_for() {
        let fresh = Answer { complete: false, ..heard(0, &[]) };
        let behind = Answer { sequence: 6, ..heard(0, &[]) };
        for answer in [None, Some(fresh), Some(behind)] {
            assert_eq!(state(&[Some(heard(2, &[])), answer]), AckState::Waiting { missing: 1 });
        }
    }

    #[test]
    fn an_agent_that_moved_is_missing_nowhere() {
        let left = heard(1, &["moved"]);
        let arrived = Answer { found: vec![agent("moved")], ..heard(1, &[]) };
        assert_eq!(state(&[Some(left.clone()), Some(arrived)]), AckState::All);
        assert_eq!(state(&[Some(left.clone()), Some(left)]), AckState::Waiting { missing: 1 });
    }

    #[test]
    fn an_agent_that_moved_counts_once_by_the_best_account() {
        let polls = Answer { live: vec![LiveAgent::new(&agent("a"), true, false)], ..heard(0, &[]) };
        let reports = Answer { live: vec![LiveAgent::new(&agent("a"), false, true)], ..heard(0, &[]) };
        let known = tally(7, &[Some(polls), Some(reports), Some(heard(1, &[]))]);
        assert_eq!((known.live, known.polling, known.acknowledging), (2, 0, 2));
    }

    #[test]
    fn the_wire_keeps_an_agent() {
        for (polling, acknowledging) in [(false, false), (false, true), (true, false), (true, true)] {
            let agent = LiveAgent::new(&agent("a"), polling, acknowledging);
            assert_eq!(LiveAgent::from_wire(agent.to_wire()), agent);
        }
    }

    #[test]
    fn those_that_are_not_named_count() {
        let many = Answer { missing: 5, ..heard(1, &["a"]) };
        assert_eq!(state(&[Some(many)]), AckState::Waiting { missing: 5 });
    }
}
