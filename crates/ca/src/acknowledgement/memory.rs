//! What one replica has seen of its agents. Its time is the time since it began to listen, so that no clock that is set
//! makes agents come alive or die.

use std::collections::BTreeMap;
use std::time::Duration;

use steeple_core::SpiffeId;

use super::tally::{Answer, LISTED_MAX, LiveAgent, Question};

/// SPIRE's default interval between two syncs of an agent.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(5);
/// An agent is alive as long as it authenticated within this many intervals.
pub const LIVE_SYNCS: u32 = 12;
/// [`LIVE_SYNCS`] intervals: a minute.
pub const LIVE_WITHIN: Duration = SYNC_INTERVAL.saturating_mul(LIVE_SYNCS);
/// Agents that are remembered, about 200 bytes each. Beyond it the replica says that some are missing.
pub const AGENTS_MAX: usize = 100_000;

/// Agents by ID. Whoever has been silent for [`LIVE_WITHIN`] is forgotten when room is needed.
#[derive(Debug, Default)]
pub struct Memory {
    agents: BTreeMap<SpiffeId, Seen>,
    /// When an agent last found no room.
    overflowed_at: Option<Duration>,
}

#[derive(Debug)]
struct Seen {
    at: Duration,
    /// Sequence number of the bundle that it holds.
    holds: Option<u64>,
    /// It says itself what it holds.
    reports: bool,
    /// Subject key id of the authority that signed the certificate that it shows.
    signed_by: Vec<u8>,
}

impl Memory {
    /// The agent authenticated with a certificate that `signed_by` signed.
    pub fn authenticated(&mut self, now: Duration, agent: &SpiffeId, signed_by: &[u8]) {
        let Some(seen) = self.entry(now, agent) else { return };
        if seen.signed_by != signed_by {
            seen.signed_by = signed_by.to_vec();
        }
    }

    /// The agent was given the bundle with this sequence number. Its own word, once it gave it, counts more.
    pub fn fetched(&mut self, now: Duration, agent: &SpiffeId, sequence: u64) {
        let Some(seen) = self.entry(now, agent) else { return };
        if !seen.reports {
            seen.holds = seen.holds.max(Some(sequence));
        }
    }

    /// The agent says that it serves the bundle with this sequence number.
    pub fn reported(&mut self, now: Duration, agent: &SpiffeId, sequence: u64) {
        let Some(seen) = self.entry(now, agent) else { return };
        seen.reports = true;
        seen.holds = Some(sequence);
    }

    /// What is known here about `question`. `counts` says which agents still have a record that lets them in: who was
    /// banned or evicted holds nobody up.
    pub fn answer(&self, now: Duration, question: &Question, counts: impl Fn(&SpiffeId) -> bool) -> Answer {
        let mut answer = Answer { complete: now >= LIVE_WITHIN, ..Answer::default() };
        for (agent, seen) in self.agents.iter().filter(|(agent, seen)| seen.is_alive(now) && counts(agent)) {
            answer.live.push(LiveAgent::new(agent, !seen.reports, seen.holds.is_some()));
            if !seen.meets(question) {
                answer.missing += 1;
                if answer.missing_agents.len() < LISTED_MAX {
                    answer.missing_agents.push(agent.clone());
                }
            }
        }
        if self.overflowed_at.is_some_and(|at| now.saturating_sub(at) < LIVE_WITHIN) {
            answer.missing += 1;
        }
        let meets = |agent: &&SpiffeId| self.agents.get(*agent).is_some_and(|seen| seen.meets(question));
        answer.found = question.missing_elsewhere.iter().filter(meets).cloned().collect();
        answer
    }

    /// Makes room if it must; `None` when all that are remembered are alive.
    fn entry(&mut self, now: Duration, agent: &SpiffeId) -> Option<&mut Seen> {
        if !self.agents.contains_key(agent) {
            if self.agents.len() >= AGENTS_MAX {
                self.agents.retain(|_, seen| seen.is_alive(now));
            }
            if self.agents.len() >= AGENTS_MAX {
                self.overflowed_at = Some(now);
                return None;
            }
        }
        let fresh = || Seen { at: now, holds: None, reports: false, signed_by: Vec::new() };
        let seen = self.agents.entry(agent.clone()).or_insert_with(fresh);
        seen.at = now;
        Some(seen)
    }
}

impl Seen {
    fn is_alive(&self, now: Duration) -> bool {
        now.saturating_sub(self.at) < LIVE_WITHIN
    }

    fn meets(&self, question: &Question) -> bool {
        let left = question.distrusted.as_ref().is_none_or(|distrusted| self.signed_by != *distrusted);
        left && self.holds >= Some(question.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(number: usize) -> SpiffeId {
        SpiffeId::parse(&format!("spiffe://example.org/spire/agent/{number}")).unwrap()
    }

    fn question(sequence: u64) -> Question {
        Question { sequence, ..Question::default() }
    }

    const NOW: Duration = LIVE_WITHIN;

    #[test]
    fn whoever_has_the_bundle_or_says_so_is_not_missing() {
        let mut memory = Memory::default();
        memory.authenticated(NOW, &agent(1), b"a");
        memory.fetched(NOW, &agent(2), 6);
        memory.fetched(NOW, &agent(3), 7);
        memory.reported(NOW, &agent(4), 7);
        let answer = memory.answer(NOW, &question(7), |_| true);
        assert_eq!(answer.missing_agents, [agent(1), agent(2)]);
        let polling = answer.live.iter().filter(|agent| agent.polling).count();
        let acknowledging = answer.live.iter().filter(|agent| agent.acknowledging).count();
        assert_eq!((answer.live.len(), polling, acknowledging, answer.missing), (4, 3, 3, 2));
    }

    #[test]
    fn an_agents_own_word_counts_more_than_what_it_was_given() {
        let mut memory = Memory::default();
        memory.reported(NOW, &agent(1), 6);
        memory.fetched(NOW, &agent(1), 7);
        assert_eq!(memory.answer(NOW, &question(7), |_| true).missing, 1);
        memory.reported(NOW, &agent(1), 7);
        assert_eq!(memory.answer(NOW, &question(7), |_| true).missing, 0);
    }

    #[test]
    fn the_silent_and_the_banned_hold_nobody_up() {
        let mut memory = Memory::default();
        memory.fetched(Duration::ZERO, &agent(1), 1);
        memory.fetched(NOW, &agent(2), 1);
        assert_eq!(memory.answer(NOW, &question(7), |_| true).missing_agents, [agent(2)]);
        assert_eq!(memory.answer(NOW, &question(7), |id| *id != agent(2)).missing, 0);
    }

    #[test]
    fn a_certificate_of_the_distrusted_authority_counts_as_missing() {
        let mut memory = Memory::default();
        memory.authenticated(NOW, &agent(1), b"old");
        memory.reported(NOW, &agent(1), 7);
        let question = Question { distrusted: Some(b"old".to_vec()), ..question(7) };
        assert_eq!(memory.answer(NOW, &question, |_| true).missing, 1);
        memory.authenticated(NOW, &agent(1), b"new");
        assert_eq!(memory.answer(NOW, &question, |_| true).missing, 0);
    }

    #[test]
    fn what_is_missing_elsewhere_may_have_come_here() {
        let mut memory = Memory::default();
        memory.fetched(NOW, &agent(1), 7);
        memory.fetched(NOW, &agent(2), 6);
        let question = Question { missing_elsewhere: vec![agent(1), agent(2), agent(3)], ..question(7) };
        assert_eq!(memory.answer(NOW, &question, |_| true).found, [agent(1)]);
    }

    #[test]
    fn a_full_memory_says_that_somebody_is_missing() {
        let mut memory = Memory::default();
        for number in 0..AGENTS_MAX {
            memory.fetched(NOW, &agent(number), 7);
        }
        assert_eq!(memory.answer(NOW, &question(7), |_| true).missing, 0);
        memory.fetched(NOW, &agent(AGENTS_MAX), 7);
        assert_eq!(memory.answer(NOW, &question(7), |_| true).missing, 1);
        // All of them have been silent for too long: there is room again.
        let later = NOW + LIVE_WITHIN;
        memory.fetched(later, &agent(AGENTS_MAX), 7);
        let answer = memory.answer(later, &question(7), |_| true);
        assert_eq!((answer.live.len(), answer.missing, memory.agents.len()), (1, 0, 1));
    }
}
