//! Signing requests' way to whoever signs: the leader, or this replica where voters may. Signing has no effect on the
//! state, so a failed attempt is simply repeated.

use steeple_api::status;
use steeple_api::steeple::peer as pb;
use steeple_api::steeple::peer::{SignItem, SignResult};
use tokio::time::Instant;

use super::consensus::{Consensus, Route};
use super::forward::{RETRY_PAUSE, next_try};
use super::handler::Handler;
use super::remote;
use crate::metrics;
use crate::peer::{SIGN_ITEMS_MAX, SignError, SigningHandler};

pub(super) async fn forward(
    consensus: &Consensus,
    signer: &Handler<dyn SigningHandler>,
    items: Vec<SignItem>,
    deadline: Instant,
) -> Result<Vec<SignResult>, SignError> {
    let mut results = Vec::with_capacity(items.len());
    for batch in items.chunks(SIGN_ITEMS_MAX) {
        let signed = sign_batch(consensus, signer, batch, deadline).await;
        results.extend(signed.inspect_err(|error| metrics::signing_given_up(batch.len(), error))?);
    }
    Ok(results)
}

async fn sign_batch(
    consensus: &Consensus,
    signer: &Handler<dyn SigningHandler>,
    items: &[SignItem],
    deadline: Instant,
) -> Result<Vec<SignResult>, SignError> {
    consensus.sealing_key.check()?;
    let started = Instant::now();
    // What the authorization of these items was based on.
    let applied_index = *consensus.published.applied.borrow();
    let mut leadership = consensus.leadership.clone();
    loop {
        leadership.mark_unchanged();
        let signer = signer.get().ok_or(SignError::NotReady)?;
        let here = match consensus.route() {
            Route::Here => true,
            Route::There(..) => signer.on_every_voter() && consensus.is_voter(),
            Route::Nowhere => false,
        };
        let (mut refusal, mut results) = (None, None);
        let signed = if here {
            signer.sign(items.to_vec()).await.map(Some)
        } else {
            at_leader(consensus, items, applied_index, deadline).await
        };
        match signed {
            Ok(signed) => results = signed,
            // Whoever asks again at once makes it worse.
            Err(busy @ SignError::Busy { .. }) => return Err(busy),
            Err(why) => refusal = Some(why),
        }
        // A short answer is no answer: results belong to items by position.
        if let Some(results) = results.filter(|results| results.len() == items.len()) {
            return Ok(results);
        }
        if remote::remaining(deadline) <= RETRY_PAUSE {
            return Err(refusal.unwrap_or_else(|| SignError::NoLeader { waited: started.elapsed() }));
        }
        next_try(&mut leadership).await;
    }
}

/// None if there is no leader, or it does not answer; an error only if it is busy.
async fn at_leader(
    consensus: &Consensus,
    items: &[SignItem],
    applied_index: u64,
    deadline: Instant,
) -> Result<Option<Vec<SignResult>>, SignError> {
    let (Route::There(leader, node), Some(peers)) = (consensus.route(), &consensus.peers) else { return Ok(None) };
    let message = pb::SignRequest {
        items: items.to_vec(),
        timeout_ms: remote::remaining_ms(deadline),
        hops: remote::HOPS,
        applied_index,
    };
    let Ok(mut leader) = remote::leader(peers, leader, &node) else { return Ok(None) };
    let asked = Instant::now();
    let answer = leader.sign(remote::until(deadline, message)).await;
    metrics::signing_forwarded(asked.elapsed(), answer.is_ok());
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner().results)),
        Err(status) => match status::retry_delay(&status) {
            Some(retry_after) => Err(SignError::Busy { why: status.message().to_owned(), retry_after }),
            None => Ok(None),
        },
    }
}
