//! Whether this replica has everything that was acknowledged before it started.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::raft::{ReadMode, Replica};

/// After a start, a replica holds what it held when it went away. Until it has caught up once, its answers would be
/// short: a client that compares them with what it has would drop what was acknowledged in between.
#[derive(Clone, Debug)]
pub struct CaughtUp(Arc<watch::Sender<bool>>);

impl CaughtUp {
    /// The second is to be run until it ends: it asks the leader how far the log was.
    pub fn of(replica: Replica, stop: CancellationToken) -> (Self, impl Future<Output = ()> + use<>) {
        let caught_up = Self(Arc::new(watch::Sender::new(false)));
        let followed = caught_up.clone().follow(replica);
        (caught_up, async move { stop.run_until_cancelled(followed).await.unwrap_or_default() })
    }

    pub fn is_so(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for it, at most until `deadline`; returns whether it is so.
    pub async fn by(&self, deadline: Instant) -> bool {
        let mut known = self.0.subscribe();
        // The sender lives as long as `self`.
        tokio::time::timeout_at(deadline.into(), known.wait_for(|known| *known)).await.is_ok()
    }

    async fn follow(self, replica: Replica) {
        while replica.read(ReadMode::Linearizable, Instant::now() + ASKED_FOR).await.is_err() {
            tokio::time::sleep(ASKED_AGAIN_AFTER).await;
        }
        self.0.send_replace(true);
    }
}

/// Without a leader, or too far behind it.
const ASKED_FOR: Duration = Duration::from_secs(10);
/// A sealed replica is told so at once.
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(200);
