//! Keeps what this replica shows to its peers in step with the replicated peer CA.

use std::sync::Arc;
use std::time::Duration;

use steeple_core::Timestamp;
use steeple_state::Change;
use steeple_storage::Identity;
use tokio::sync::broadcast::error::RecvError;

use super::consensus::Consensus;
use super::identity;
use super::peer_ca::{open_peer_ca, peer_ca};
use super::published::Published;
use crate::peer::{PeerCredentials, PeerError};
use crate::seal::KeyInUse;

/// Wall clocks jump, forwards and backwards; it is noticed within this.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

const TRY_AGAIN: Duration = Duration::from_secs(60 * 60);

/// Renews at half-life, whenever the peer CA changes and when the server is unsealed, until the replica stops.
pub(super) async fn keep(credentials: PeerCredentials, consensus: Arc<Consensus>, identity: Identity) {
    let mut events = consensus.published.events.subscribe();
    loop {
        let renew_at = match renew(&credentials, &consensus.published, &consensus.sealing_key, &identity) {
            Ok(renew_at) => renew_at,
            Err(PeerError::Sealed(_)) => None,
            Err(error) => {
                tracing::error!(%error, "the peer certificate was not renewed");
                None
            }
        };
        let sealed = consensus.sealing_key.is_sealed();
        let renewed_at = consensus.clock.now();
        let renewal = async {
            while !is_due(consensus.clock.now(), renewed_at, renew_at) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::pin!(renewal);
        loop {
            tokio::select! {
                () = &mut renewal => break,
                () = consensus.sealing_key.until_open(), if sealed => break,
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

/// A certificate from a time that has not come is of no use to peers whose clocks are right. Without one at all it is
/// tried again every hour.
fn is_due(now: Timestamp, renewed_at: Timestamp, renew_at: Option<Timestamp>) -> bool {
    now < renewed_at || now >= renew_at.unwrap_or(renewed_at.saturating_add(TRY_AGAIN))
}

fn concerns_peers(change: &Change) -> bool {
    matches!(change, Change::Cluster | Change::PeerCa { .. } | Change::Keyring { .. })
}

/// `None` when the state has no peer CA yet; the certificate that a member issued serves until it has. Whom to trust is
/// known to a sealed server too.
pub(super) fn renew(
    credentials: &PeerCredentials,
    published: &Published,
    sealing_key: &KeyInUse,
    identity: &Identity,
) -> Result<Option<Timestamp>, PeerError> {
    let opened = {
        let state = published.state.read();
        let Some(content) = peer_ca(&state)? else { return Ok(None) };
        credentials.trust(&content.certificates())?;
        open_peer_ca(&state, sealing_key.of(&state)?.as_ref())?
    };
    let Some(opened) = opened else { return Ok(None) };
    identity::keep_answering(identity, &credentials.certify_answering(&opened.authority)?)?;
    credentials.renew(&opened.authority).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_its_time_comes_or_runs_back() {
        let at = Timestamp::from_secs;
        assert!(!is_due(at(1000), at(1000), Some(at(2000))));
        assert!(is_due(at(2000), at(1000), Some(at(2000))));
        assert!(is_due(at(999), at(1000), Some(at(2000))));
        assert!(!is_due(at(4599), at(1000), None) && is_due(at(4600), at(1000), None));
    }
}
