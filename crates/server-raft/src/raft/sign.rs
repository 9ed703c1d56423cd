//! Signing requests' way to whoever signs: the leader, or this replica where voters may. Signing has no effect on the
//! state, so a failed attempt is simply repeated.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use steeple_api::steeple::peer as pb;
use steeple_api::steeple::peer::{SignItem, SignResult};

use super::consensus::{Consensus, Route};
use super::forward::{RETRY_PAUSE, next_try};
use super::remote;
use crate::peer::{SIGN_ITEMS_MAX, SignError, SigningHandler};

pub(super) async fn forward(
    consensus: &Consensus,
    signer: &OnceLock<Arc<dyn SigningHandler>>,
    items: Vec<SignItem>,
    deadline: Instant,
) -> Result<Vec<SignResult>, SignError> {
    let mut results = Vec::with_capacity(items.len());
    for batch in items.chunks(SIGN_ITEMS_MAX) {
        results.extend(sign_batch(consensus, signer, batch, deadline).await?);
    }
    Ok(results)
}

async fn sign_batch(
    consensus: &Consensus,
    signer: &OnceLock<Arc<dyn SigningHandler>>,
    items: &[SignItem],
    deadline: Instant,
) -> Result<Vec<SignResult>, SignError> {
    consensus.sealing_key.get()?;
    let started = Instant::now();
    // What the authorization of these items was based on.
    let applied_index = *consensus.published.applied.borrow();
    let mut leadership = consensus.leadership.clone();
    loop {
        leadership.mark_unchanged();
        let signer = signer.get().ok_or(SignError::NotReady)?;
        let results = match consensus.route() {
            Route::Here => signer.sign(items.to_vec()).await.ok(),
            Route::There(..) if signer.on_every_voter() && consensus.is_voter() => {
                signer.sign(items.to_vec()).await.ok()
            }
            Route::There(leader, node) => match &consensus.peers {
                Some(peers) => {
                    let message = pb::SignRequest {
                        items: items.to_vec(),
                        timeout_ms: remote::remaining_ms(deadline),
                        hops: remote::HOPS,
                        applied_index,
                    };
                    match remote::leader(peers, leader, &node) {
                        Ok(mut leader) => {
                            let answer = leader.sign(remote::until(deadline, message)).await;
                            answer.ok().map(|answer| answer.into_inner().results)
                        }
                        Err(_) => None,
                    }
                }
                None => None,
            },
            Route::Nowhere => None,
        };
        // A short answer is no answer: results belong to items by position.
        if let Some(results) = results.filter(|results| results.len() == items.len()) {
            return Ok(results);
        }
        if remote::remaining(deadline) <= RETRY_PAUSE {
            return Err(SignError::NoLeader { waited: started.elapsed() });
        }
        next_try(&mut leadership).await;
    }
}
