//! Keeps what this replica shows to its peers in step with the replicated peer CA.

use std::sync::Arc;
use std::time::Duration;

use steeple_ca::seal::SealingKey;
use steeple_core::{Clock, Timestamp};
use steeple_state::Change;
use tokio::sync::broadcast::error::RecvError;

use super::peer_ca::open_peer_ca;
use super::published::Published;
use crate::peer::{PeerCredentials, PeerError};

/// Wall clocks jump; a renewal that is due is not missed by more than this.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// Renews at half-life and whenever the peer CA changes, until the replica stops.
pub(super) async fn keep(
    credentials: PeerCredentials,
    published: Arc<Published>,
    sealing_key: Arc<SealingKey>,
    clock: Arc<dyn Clock>,
) {
    let mut events = published.events.subscribe();
    loop {
        let renew_at = match renew(&credentials, &published, &sealing_key) {
            Ok(renew_at) => renew_at,
            Err(error) => {
                tracing::error!(%error, "the peer certificate was not renewed");
                None
            }
        };
        let pause = renew_at.map_or(LOOK_AGAIN, |at| at.since(clock.now()).min(LOOK_AGAIN));
        let renewal = tokio::time::sleep(pause);
        tokio::pin!(renewal);
        loop {
            tokio::select! {
                () = &mut renewal => break,
                event = events.recv() => match event {
                    Ok(applied) if applied.replaced => break,
                    Ok(applied) if applied.events.iter().any(|event| concerns_peers(&event.change)) => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }
}

fn concerns_peers(change: &Change) -> bool {
    matches!(change, Change::Cluster | Change::PeerCa { .. } | Change::Keyring { .. })
}

/// `None` when the state has no peer CA yet; the certificate that a member issued serves until it has.
pub(super) fn renew(
    credentials: &PeerCredentials,
    published: &Published,
    sealing_key: &SealingKey,
) -> Result<Option<Timestamp>, PeerError> {
    let opened = open_peer_ca(&published.state.read(), sealing_key)?;
    let Some(opened) = opened else { return Ok(None) };
    credentials.trust(&opened.certificates)?;
    credentials.renew(&opened.authority).map(Some)
}
