//! What the agents' records say at a scrape, in one pass over them.

use std::time::Duration;

use steeple_core::{AttestedAgent, Timestamp};
use steeple_telemetry::metric::Ages;

/// How many there are in each state, and how old the SVIDs are of those that are not banned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Survey {
    pub(super) banned: usize,
    pub(super) current: usize,
    pub(super) expired: usize,
    pub(super) late: usize,
    pub(super) ages: Ages,
}

impl Survey {
    /// An agent renews once half of its SVID's life is over, so that one in the last sixth has failed for long. A
    /// record has the end of an SVID and not its beginning: the life is taken to be `agent_ttl`.
    pub(super) fn of<'a>(agents: impl Iterator<Item = &'a AttestedAgent>, now: Timestamp, agent_ttl: Duration) -> Self {
        let mut survey = Self::default();
        let (expired, late) = (now.as_secs(), now.saturating_add(agent_ttl / 6).as_secs());
        let began = now.saturating_add(agent_ttl);
        for agent in agents {
            if agent.is_banned() {
                survey.banned += 1;
                continue;
            }
            match agent.not_after {
                end if end < expired => survey.expired += 1,
                end if end < late => survey.late += 1,
                _ => survey.current += 1,
            }
            survey.ages.add(began.since(Timestamp::from_secs(agent.not_after)), agent_ttl);
        }
        survey
    }

    pub(super) fn states(&self) -> [(&'static str, usize); 4] {
        [("current", self.current), ("late", self.late), ("expired", self.expired), ("banned", self.banned)]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use steeple_core::{SelectorSet, SpiffeId};
    use steeple_telemetry::metric::Tally;

    use super::*;

    const TTL: Duration = Duration::from_secs(3600);

    fn agent(number: usize, not_after: i64) -> AttestedAgent {
        AttestedAgent {
            id: SpiffeId::parse(&format!("spiffe://td/spire/agent/x509pop/{number}")).unwrap(),
            attestation_type: "x509pop".to_owned(),
            serial: "1".to_owned(),
            not_after,
            new_serial: String::new(),
            new_not_after: 0,
            can_reattest: true,
            selectors: SelectorSet::default(),
            agent_version: String::new(),
        }
    }

    fn up_to(tally: &Tally, bound: f64) -> u64 {
        tally.buckets.iter().filter(|(upper, _)| *upper <= bound).map(|(_, count)| count).sum()
    }

    #[test]
    fn states_and_ages_follow_from_the_end_of_the_svid() {
        let now = Timestamp::from_secs(1_000_000);
        // Just issued, at half of its life, in its last sixth, over for ten minutes; one has a CA's shorter life.
        let ends = [3600, 1800, 540, -600, 3700].map(|left| now.as_secs() + left);
        let mut agents: Vec<_> = ends.into_iter().enumerate().map(|(number, end)| agent(number, end)).collect();
        agents.push(AttestedAgent { serial: String::new(), ..agent(9, 0) });
        let survey = Survey::of(agents.iter(), now, TTL);
        assert_eq!(survey.states(), [("current", 3), ("late", 1), ("expired", 1), ("banned", 1)]);
        let Ages { seconds, ratio } = &survey.ages;
        assert_eq!([60.0, 1800.0, 3600.0, 7200.0].map(|bound| up_to(seconds, bound)), [2, 3, 4, 5]);
        assert_eq!([0.5, 0.8333, 1.0].map(|bound| up_to(ratio, bound)), [3, 3, 4]);
        assert_eq!((ratio.beyond, seconds.sum), (1, 9060.0));
    }

    /// A scrape holds up writes for as long.
    #[test]
    fn a_hundred_thousand_agents_are_a_moment() {
        let agents: Vec<_> = (0..100_000).map(|number| Arc::new(agent(number, number as i64 % 7200))).collect();
        let begun = Instant::now();
        let survey = Survey::of(agents.iter().map(AsRef::as_ref), Timestamp::from_secs(3600), TTL);
        let took = begun.elapsed();
        println!("100,000 agents in {took:?}");
        assert_eq!(survey.states().iter().map(|(_, count)| count).sum::<usize>(), agents.len());
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}
