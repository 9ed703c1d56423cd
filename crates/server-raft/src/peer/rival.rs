//! Two servers that were both told to found the cluster, at one time, each found nobody there. Whoever is still alone
//! looks around, so that a trust domain does not go on with two authorities of which neither knows.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use steeple_core::Clock;
use steeple_state::Uuid;

use super::PeerNetwork;
use super::credentials::joiner_client_config;
use super::dial::dial;
use super::verifier::peer_id;

/// Another cluster at an address where this one's members are expected, and this one has to go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "another cluster, {}, was founded at {address}, and this server alone is cluster {}: only one replica may have \
     bootstrap = true. Move this server's data directory and sealing key away, take out bootstrap, copy the other's \
     sealing key here, and start again: it joins the other cluster",
    hex::encode(.other), hex::encode(.own)
)]
pub struct Rival {
    pub address: String,
    pub own: Uuid,
    pub other: Uuid,
}

/// Until a rival is seen at one of `addresses` (`host:port`). `alone` is the own cluster while this server is its only
/// member. Of two the one with the greater UUID has to go; the other one's log says what happened. Looks for as long as
/// servers that start together may take, then never returns.
pub async fn rival(
    addresses: Vec<String>,
    alone: impl Fn() -> Option<Uuid>,
    network: Arc<dyn PeerNetwork>,
    clock: Arc<dyn Clock>,
) -> Rival {
    let Ok(tls) = joiner_client_config(clock) else { return std::future::pending().await };
    let mut told = None;
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK_AGAIN).await;
        let Some(own) = alone() else { continue };
        for address in &addresses {
            let Some(other) =
                cluster_at(network.as_ref(), address, Arc::clone(&tls)).await.filter(|other| *other != own)
            else {
                continue;
            };
            let rival = Rival { address: address.clone(), own, other };
            if own > other {
                return rival;
            }
            if told != Some(other) {
                tracing::error!(
                    address,
                    cluster = hex::encode(other),
                    "another cluster was founded at this address: only one replica may have bootstrap = true. The \
                     other server ends, if it is alone; move its data directory and sealing key away"
                );
                told = Some(other);
            }
        }
    }
    std::future::pending().await
}

/// The clusters whose members answer at `addresses` (`host:port`) now, asked all at once.
pub async fn clusters_at(
    addresses: &[String],
    network: &dyn PeerNetwork,
    clock: Arc<dyn Clock>,
) -> Vec<(String, Uuid)> {
    let Ok(tls) = joiner_client_config(clock) else { return Vec::new() };
    let asked = addresses.iter().map(async |address| {
        let cluster = cluster_at(network, address, Arc::clone(&tls)).await?;
        Some((address.clone(), cluster))
    });
    futures::future::join_all(asked).await.into_iter().flatten().collect()
}

/// The cluster whose member answers at `address`, as its certificate says. Nothing proves it: it is no more than a
/// reason to ask a person.
async fn cluster_at(network: &dyn PeerNetwork, address: &str, tls: Arc<ClientConfig>) -> Option<Uuid> {
    let stream = dial(network, address, tls).await.ok()?;
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    peer_id(certificate).ok().map(|id| id.cluster_uuid)
}

const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Two minutes.
const LOOKS: usize = 120;
