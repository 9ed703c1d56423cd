//! `seal rotate`: asks for new keys and follows the leader while it seals the private keys anew. It keeps nothing, so
//! it can be killed and started again at any moment, on any replica.

use std::io::Write as _;
use std::time::Duration;

use steeple_api::steeple::server::seal_client::SealClient;
use steeple_api::steeple::server::{RotateSealRequest, SealStatusRequest, SealStatusResponse};
use steeple_cli::{Call, Context as _, Failure};
use tonic::Status;
use tonic::transport::Channel;

use crate::cli::progress::{Patience, Progress};

pub(super) async fn rotate(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let mut seal = SealClient::new(channel.clone());
    let begun = status(&mut seal).await.context("could not get the state of the keyring")?;
    let mut progress = Progress::default();
    // One that is under way is as good as a new one: its keys are not older than this command's forerunner.
    let wanted = if is_settled(&begun) { begun.term + 1 } else { begun.term };
    let mut patience = Patience::new(channel);
    let mut before = None;
    let done = loop {
        let advanced = patience.of(&mut call.streams, &mut progress, advance(&mut seal, wanted)).await;
        match advanced.context("the rotation has stopped; run the same command again to go on")? {
            Some(now) if now.term >= wanted && is_settled(&now) => break now,
            Some(now) if before.as_ref() != Some(&now) => {
                patience.renew();
                progress.show(&mut call.streams, part_done(&now, wanted), &describe(&now))?;
                before = Some(now);
            }
            // A leader that goes takes the answer with it: look again.
            Some(_) | None => patience.look(&mut call.streams, &mut progress).await?,
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    };
    progress.show(&mut call.streams, 1.0, &describe(&done))?;
    progress.end(&mut call.streams)?;
    call.print(&done, |streams, done| {
        let SealStatusResponse { sealing_key_id, term, private_keys, .. } = done;
        let out = &mut streams.stdout;
        writeln!(out, "The root key is new, and a new data key (term {term}) seals {private_keys} private keys.")?;
        writeln!(out, "Older data keys are gone. The sealing key {sealing_key_id} is the same.")?;
        Ok(())
    })
}

/// Asks for the new keys as long as they are not there, and then how far it is.
async fn advance(seal: &mut SealClient<Channel>, wanted: u64) -> Result<SealStatusResponse, Status> {
    let now = status(seal).await?;
    if now.term >= wanted {
        return Ok(now);
    }
    Ok(seal.rotate(RotateSealRequest { term: now.term }).await?.into_inner())
}

async fn status(seal: &mut SealClient<Channel>) -> Result<SealStatusResponse, Status> {
    Ok(seal.status(SealStatusRequest {}).await?.into_inner())
}

fn is_settled(status: &SealStatusResponse) -> bool {
    status.terms.len() == 1 && status.sealed_in_term == status.private_keys
}

/// The new keys and the end of the old ones are a step each.
fn part_done(now: &SealStatusResponse, wanted: u64) -> f64 {
    let steps = f64::from(now.private_keys) + 2.0;
    if now.term < wanted { 0.0 } else { (1.0 + f64::from(now.sealed_in_term)) / steps }
}

fn describe(now: &SealStatusResponse) -> String {
    format!("{} of {} private keys are sealed in term {}", now.sealed_in_term, now.private_keys, now.term)
}

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn now(terms: &[u64], sealed_in_term: u32) -> SealStatusResponse {
        let term = *terms.last().unwrap();
        SealStatusResponse { term, terms: terms.to_vec(), private_keys: 3, sealed_in_term, ..Default::default() }
    }

    #[test]
    fn it_is_done_when_the_old_keys_are_gone() {
        assert!(is_settled(&now(&[1], 3)));
        assert!(!is_settled(&now(&[1, 2], 0)));
        assert!(!is_settled(&now(&[1, 2], 3)), "the old data key is still there");
        assert!(is_settled(&now(&[2], 3)));
        assert_eq!(part_done(&now(&[1], 3), 2), 0.0);
        assert_eq!(part_done(&now(&[1, 2], 0), 2), 0.2);
        assert_eq!(part_done(&now(&[1, 2], 3), 2), 0.8);
    }
}
