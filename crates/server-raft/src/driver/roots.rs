//! Keeps the roots that TLS trusts equal to the bundles in the state.

use steeple_state::Change;
use steeple_state::view::PageRequest;
use steeple_transport::tls::{RootsError, SharedRoots, TrustRoots};
use tokio_util::sync::CancellationToken;

use super::until_change;
use crate::raft::Replica;

/// Runs until `stop`.
pub async fn run(replica: Replica, roots: SharedRoots, stop: CancellationToken) {
    let mut events = replica.events();
    loop {
        refresh(&replica, &roots);
        tokio::select! {
            () = stop.cancelled() => return,
            is_open = until_change(&mut events, is_of_a_bundle) => if !is_open {
                return;
            },
        }
    }
}

/// Replaces the whole value; a bundle that cannot be used is left out and named in the log.
pub fn refresh(replica: &Replica, roots: &SharedRoots) {
    match collect(replica) {
        Ok(fresh) => roots.store(std::sync::Arc::new(fresh)),
        Err(error) => tracing::error!(error = %error, "own bundle cannot be used for TLS"),
    }
}

fn collect(replica: &Replica) -> Result<TrustRoots, RootsError> {
    let state = replica.state().read();
    let mut roots = TrustRoots::empty();
    if let Some(bundle) = state.own_bundle() {
        let ders: Vec<&[u8]> = bundle.x509_authorities.iter().map(|root| root.der.as_slice()).collect();
        roots = roots.with(bundle.trust_domain.clone(), &ders)?;
    }
    let federated = state.federated_bundles(PageRequest::ALL).map(|page| page.items).unwrap_or_default();
    for bundle in federated {
        let ders: Vec<&[u8]> = bundle.x509_authorities.iter().map(|root| root.der.as_slice()).collect();
        match roots.clone().with(bundle.trust_domain.clone(), &ders) {
            Ok(more) => roots = more,
            Err(error) => tracing::warn!(error = %error, "federated bundle cannot be used for TLS"),
        }
    }
    Ok(roots)
}

fn is_of_a_bundle(change: &Change) -> bool {
    matches!(change, Change::Bundle { .. })
}
