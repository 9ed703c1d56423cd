//! How long a change takes to its agent: from its application on this replica until it was sent, and until the agent
//! says that it serves it.

use std::collections::VecDeque;
use std::time::Duration;

use steeple_api::push::SetHash;
use tokio::time::Instant;

/// Of one stream. Changes that are sent together have waited as long as the first of them.
#[derive(Default)]
pub struct Propagation {
    /// Since when something waits that is in nothing that is being sent.
    waiting: Option<Instant>,
    /// Since when what is being sent has waited.
    sending: Option<Instant>,
    /// Sent and not acknowledged, by the set that it leads to; the oldest first.
    sent: VecDeque<(SetHash, Instant)>,
}

impl Propagation {
    /// Something that may concern the agent was applied. What brings no such moment, such as the beginning of a stream,
    /// is not timed.
    pub fn applied(&mut self, at: Option<Instant>) {
        self.waiting = earliest(self.waiting, at);
    }

    /// All that was applied is in the change that begins now, if the agent's set is another one by it.
    pub fn aimed(&mut self, is_change: bool) {
        let since = earliest(self.sending.take(), self.waiting.take());
        self.sending = since.filter(|_| is_change);
    }

    /// The last piece of the change is on its way. How long that took.
    pub fn sent(&mut self, to: SetHash) -> Option<Duration> {
        let since = self.sending.take()?;
        if self.sent.len() >= UNACKNOWLEDGED_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((to, since));
        Some(since.elapsed())
    }

    /// The agent serves `set`, and has got what was sent before it. How long each took.
    pub fn acknowledged(&mut self, set: &[u8]) -> impl Iterator<Item = Duration> {
        let known = self.sent.iter().position(|(hash, _)| hash == set);
        self.sent.drain(..known.map_or(0, |position| position + 1)).map(|(_, since)| since.elapsed())
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// What an agent that never acknowledges costs; the oldest is forgotten.
const UNACKNOWLEDGED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn pass(seconds: u32) -> Option<Instant> {
        tokio::time::advance(SECOND * seconds).await;
        Some(Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_waits_since_the_first_thing_in_it() {
        let mut propagation = Propagation::default();
        propagation.applied(pass(0).await);
        propagation.applied(pass(1).await);
        propagation.aimed(true);
        // It comes too late for the change that is being sent.
        propagation.applied(pass(2).await);
        pass(1).await;
        assert_eq!(propagation.sent([1; 32]), Some(4 * SECOND));
        propagation.aimed(true);
        assert_eq!(propagation.sent([2; 32]), Some(SECOND));
        pass(1).await;
        assert_eq!(propagation.acknowledged(&[9; 32]).count(), 0);
        assert_eq!(propagation.acknowledged(&[2; 32]).collect::<Vec<_>>(), [5 * SECOND, 2 * SECOND]);
        assert_eq!(propagation.acknowledged(&[2; 32]).count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_nothing_for_the_agent_is_not_timed() {
        let mut propagation = Propagation::default();
        propagation.applied(None);
        propagation.aimed(true);
        assert_eq!(propagation.sent([1; 32]), None);
        propagation.applied(pass(0).await);
        propagation.aimed(false);
        propagation.aimed(true);
        assert_eq!(propagation.sent([2; 32]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_never_acknowledges_costs_little() {
        let mut propagation = Propagation::default();
        for number in 0..=u8::MAX {
            propagation.applied(pass(0).await);
            propagation.aimed(true);
            propagation.sent([number; 32]);
        }
        assert_eq!(propagation.sent.len(), UNACKNOWLEDGED_MAX);
    }
}
