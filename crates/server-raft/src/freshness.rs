//! How old this replica's state may be.
//!
//! A replica that was cut off or paused, or has just started, holds what it held then. A client that takes that for
//! what there is would drop what was acknowledged since, or trust what was revoked. So the state is compared with the
//! cluster's now and then, and what may be too old is told to nobody.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::raft::{ReadMode, Replica};

/// A replica that cannot know that it is no older than this sends its clients away. Elections take a second or two, and
/// nobody notices them.
pub const STALENESS_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Freshness(Arc<Known>);

#[derive(Debug)]
struct Known {
    /// The state has everything that was acknowledged before then.
    complete_at: Mutex<Option<Instant>>,
    confirmed: Notify,
    /// For those who follow it, who may hear of a change a moment later.
    fresh: watch::Sender<bool>,
}

/// Why nothing is told from the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    #[error("this replica has not caught up with its cluster yet; ask another one")]
    NotCaughtUp,
    #[error("no quorum has confirmed for {} s what this replica holds; ask another one", STALENESS_MAX.as_secs())]
    OutOfTouch,
}

impl Freshness {
    /// The second is to be run until it ends: it asks the leader how far the log is.
    pub fn of(replica: Replica, stop: CancellationToken) -> (Self, impl Future<Output = ()> + use<>) {
        let (complete_at, confirmed) = (Mutex::default(), Notify::new());
        let freshness = Self(Arc::new(Known { complete_at, confirmed, fresh: watch::Sender::new(false) }));
        let followed = freshness.clone().follow(replica);
        (freshness, async move { stop.run_until_cancelled(followed).await.unwrap_or_default() })
    }

    /// To the instant: also for what a process is asked that has just been resumed.
    pub fn check(&self) -> Result<(), Stale> {
        let complete_at = *self.0.complete_at.lock();
        check(complete_at, Instant::now())
    }

    /// Waits until the state is fresh, at most until `deadline`.
    pub async fn by(&self, deadline: Instant) -> Result<(), Stale> {
        let confirmed = self.0.confirmed.notified();
        if self.check().is_err() {
            // Too late, or not: the answer is what is known then.
            let _ = tokio::time::timeout_at(deadline, confirmed).await;
        }
        self.check()
    }

    /// Whether the state is fresh, for who follows it.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.fresh.subscribe()
    }

    async fn follow(self, replica: Replica) {
        loop {
            let asked_at = Instant::now();
            let deadline = asked_at + self.left(asked_at).unwrap_or(ASKED_FOR);
            let confirmed = replica.read(ReadMode::Linearizable, deadline).await.is_ok();
            self.note(confirmed.then_some(asked_at));
            tokio::time::sleep(if confirmed { CONFIRMED_EVERY } else { ASKED_AGAIN_AFTER }).await;
        }
    }

    fn note(&self, confirmed_at: Option<Instant>) {
        // Locked until both say the same: who finds the state fresh may then follow it.
        let mut complete_at = self.0.complete_at.lock();
        *complete_at = confirmed_at.or(*complete_at);
        let fresh = check(*complete_at, Instant::now()).is_ok();
        self.0.fresh.send_if_modified(|known| std::mem::replace(known, fresh) != fresh);
        if confirmed_at.is_some() {
            self.0.confirmed.notify_waiters();
        }
    }

    /// How long the state stays fresh without another confirmation.
    fn left(&self, now: Instant) -> Option<Duration> {
        let age = now.saturating_duration_since((*self.0.complete_at.lock())?);
        STALENESS_MAX.checked_sub(age).filter(|left| !left.is_zero())
    }
}

/// Resolves when the state is too old to be told; `fresh` is of [`Freshness::subscribe`].
pub async fn until_stale(fresh: &mut watch::Receiver<bool>) {
    if fresh.wait_for(|fresh| !fresh).await.is_err() {
        // The server ends, and its connections with it.
        std::future::pending().await
    }
}

fn check(complete_at: Option<Instant>, now: Instant) -> Result<(), Stale> {
    let complete_at = complete_at.ok_or(Stale::NotCaughtUp)?;
    if now.saturating_duration_since(complete_at) < STALENESS_MAX { Ok(()) } else { Err(Stale::OutOfTouch) }
}

/// Without a leader, or too far behind it.
const ASKED_FOR: Duration = Duration::from_secs(10);
/// A sealed replica is told so at once.
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// One round to the leader, shared with the calls that need one; several may fail before anybody notices.
const CONFIRMED_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_fresh_until_it_was_not_confirmed_for_too_long() {
        let at = Instant::now();
        let just_before = at + STALENESS_MAX - Duration::from_millis(1);
        assert_eq!(check(None, at), Err(Stale::NotCaughtUp));
        assert_eq!(check(Some(at), at), Ok(()));
        assert_eq!(check(Some(at), just_before), Ok(()));
        assert_eq!(check(Some(at), at + STALENESS_MAX), Err(Stale::OutOfTouch));
    }
}
