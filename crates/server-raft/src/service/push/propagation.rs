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
    /// Sent and not acknowledged, by the set that it leads to; the oldest first. What is not timed is here too, for its
    /// acknowledgement is that of what was sent before it.
    sent: VecDeque<(SetHash, Option<Instant>)>,
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
        let since = self.sending.take();
        if self.sent.len() >= UNACKNOWLEDGED_MAX {
            let forgotten = self.sent.pop_front().and_then(|(_, since)| since);
            if let Some((_, next)) = self.sent.front_mut() {
                *next = earliest(*next, forgotten);
            }
        }
        self.sent.push_back((to, since));
        since.map(|since| since.elapsed())
    }

    /// The agent serves `set`, and has got what was sent before it. How long each took.
    ///
    /// Agents acknowledge what came last, not each change: a set that was sent twice is taken for the later one, so
    /// that nothing stays behind that nobody will name again.
    pub fn acknowledged(&mut self, set: &[u8]) -> impl Iterator<Item = Duration> {
        let known = self.sent.iter().rposition(|(hash, _)| hash == set);
        let taken = self.sent.drain(..known.map_or(0, |position| position + 1));
        taken.filter_map(|(_, since)| since).map(|since| since.elapsed())
    }

    /// Since when the agent owes an acknowledgement, of what was sent or cannot be sent because it does not read.
    pub fn owed_since(&self) -> Option<Instant> {
        self.sent.iter().map(|(_, since)| *since).fold(self.sending, earliest)
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// What an agent that never acknowledges costs. Of what is forgotten the next one keeps the time.
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
    async fn an_agent_that_never_acknowledges_costs_little_and_its_debt_grows() {
        let mut propagation = Propagation::default();
        let first = pass(0).await;
        for number in 0..=u8::MAX {
            propagation.applied(Some(Instant::now()));
            propagation.aimed(true);
            assert_eq!(propagation.owed_since(), first, "{number}");
            propagation.sent([number; 32]);
            pass(1).await;
        }
        assert_eq!(propagation.sent.len(), UNACKNOWLEDGED_MAX);
        assert_eq!(propagation.owed_since(), first);
        propagation.acknowledged(&[u8::MAX; 32]).for_each(drop);
        assert_eq!(propagation.owed_since(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_owed_for_ever_by_an_agent_that_acknowledges() {
        let mut propagation = Propagation::default();
        let send = |propagation: &mut Propagation, at: Option<Instant>, hash: u8| {
            propagation.applied(at);
            propagation.aimed(true);
            propagation.sent([hash; 32]);
        };
        // To another set and back, of which the agent names the last only.
        for hash in [0, 1, 0] {
            send(&mut propagation, pass(1).await, hash);
        }
        assert_eq!(propagation.acknowledged(&[0; 32]).count(), 3);
        assert_eq!(propagation.owed_since(), None);
        // Sent, then the agent is told the whole again, which has no moment.
        send(&mut propagation, pass(1).await, 2);
        assert!(propagation.owed_since().is_some());
        send(&mut propagation, None, 3);
        assert_eq!(propagation.acknowledged(&[3; 32]).count(), 1);
        assert_eq!(propagation.owed_since(), None);
    }
}
