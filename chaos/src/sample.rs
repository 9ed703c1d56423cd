//! What replicas say of their state, again and again: at one log index all have to say the same.

use std::time::Duration;

use steeple_testkit::Admin;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

const PAUSE: Duration = Duration::from_millis(100);

/// Asks until it is stopped. `write` gets the replica's position, the log index and the hash of the state there.
pub(crate) async fn sample(
    replicas: Vec<Admin>,
    stopped: watch::Receiver<bool>,
    write: impl Fn(usize, u64, String) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        ticks.tick().await;
        for (position, replica) in replicas.iter().enumerate() {
            if let Ok(status) = replica.status().await {
                write(position, status.applied_index, status.state_hash)?;
            }
        }
    }
    Ok(())
}
