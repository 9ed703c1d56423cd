//! Minting workload SVIDs: a fresh key for each, CSRs in batches, results matched by position.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use steeple_api::server::svid::svid_client::SvidClient;
use steeple_api::server::svid::{BatchNewX509svidRequest, NewX509svidParams, batch_new_x509svid_response};
use steeple_api::steeple::agent::{issue, issued};
use steeple_ca::{SigningKey, csr, generate_pkcs8};
use steeple_core::{Clock, Entry, KeyType, Secret, Timestamp};
use tonic::{Code, Status};

use super::{Awaited, Sessions};
use crate::cache::{Cache, RotationRule, X509Svid};
use crate::metrics;
use crate::upstream::{CallTimes, Upstream};

pub struct Minter {
    pub upstream: Arc<Upstream>,
    pub cache: Arc<Cache>,
    pub key_type: KeyType,
    pub rotation: RotationRule,
    pub clock: Arc<dyn Clock>,
    /// Issuing rides on the push stream while one is open.
    sessions: Sessions,
    awaited: Arc<Awaited>,
    /// Shrinks on failure and grows again, so that one bad entry or a tight server does not block the rest.
    batch_items: usize,
}

struct Wish {
    entry: Arc<Entry>,
    key: Secret,
    csr: Vec<u8>,
}

impl Minter {
    pub fn new(
        upstream: Arc<Upstream>,
        cache: Arc<Cache>,
        key_type: KeyType,
        rotation: RotationRule,
        clock: Arc<dyn Clock>,
        sessions: Sessions,
        awaited: Arc<Awaited>,
    ) -> Self {
        Self { upstream, cache, key_type, rotation, clock, sessions, awaited, batch_items: BATCH_ITEMS_MAX }
    }

    /// Mints what `entry_ids` name, in their order. Stops at the first batch that fails as a whole. An entry that is
    /// refused holds nobody up; when all are, that is a failure, so that they are not asked for again at once.
    pub async fn mint(&mut self, entry_ids: &[String]) -> Result<(), Status> {
        let entries: HashMap<String, Arc<Entry>> =
            self.cache.entries().into_iter().map(|state| (state.entry.id.clone(), state.entry)).collect();
        let wanted: Vec<Arc<Entry>> = entry_ids.iter().filter_map(|id| entries.get(id).cloned()).collect();
        let mut rest = wanted.as_slice();
        let mut results = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(self.batch_items.min(rest.len()));
            match self.batch(batch).await {
                Ok(answered) => {
                    self.batch_items = (self.batch_items * 2).min(BATCH_ITEMS_MAX);
                    results.extend(answered);
                }
                Err(status) => {
                    self.batch_items = (self.batch_items / 2).max(1);
                    return Err(status);
                }
            }
            rest = later;
        }
        failure_of(results)
    }

    /// What became of each.
    async fn batch(&self, entries: &[Arc<Entry>]) -> Result<Vec<Result<(), Status>>, Status> {
        let wishes = wishes(entries.to_vec(), self.key_type).await?;
        let results = self.signed(&wishes).await?;
        if results.len() != wishes.len() {
            return Err(Status::internal(format!("{} results for {} requests", results.len(), wishes.len())));
        }
        Ok(wishes.into_iter().zip(results).map(|(wish, result)| self.accept(wish, result)).collect())
    }

    /// On the push stream, or by a call where there is none, it just ended, or its replica is silent.
    async fn signed(&self, wishes: &[Wish]) -> Result<Vec<batch_new_x509svid_response::Result>, Status> {
        let session = self.sessions.borrow().clone();
        if let Some(session) = session {
            let asked =
                wishes.iter().map(|wish| issue::X509 { entry_id: wish.entry.id.clone(), csr: wish.csr.clone() });
            match session.issue(asked.collect(), MINT_TIMES.attempt).await {
                Ok(issued) => {
                    let result = |item: issued::X509| batch_new_x509svid_response::Result {
                        status: item.status,
                        svid: item.svid,
                    };
                    return Ok(issued.x509.into_iter().map(result).collect());
                }
                Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => {}
                Err(status) => return Err(status),
            }
        }
        let params: Vec<NewX509svidParams> = wishes
            .iter()
            .map(|wish| NewX509svidParams { entry_id: wish.entry.id.clone(), csr: wish.csr.clone() })
            .collect();
        let call = |channel| {
            let request = BatchNewX509svidRequest { params: params.clone() };
            async move { SvidClient::new(channel).batch_new_x509svid(request).await }
        };
        Ok(self.upstream.call(MINT_TIMES, call).await?.into_inner().results)
    }

    fn accept(&self, wish: Wish, result: batch_new_x509svid_response::Result) -> Result<(), Status> {
        let entry = &wish.entry;
        let status = result.status.unwrap_or_default();
        let refused = |code: Code, message: String| {
            let spiffe_id = &entry.spiffe_id;
            tracing::warn!(entry_id = %entry.id, %spiffe_id, error = %message, "Failed to mint X509-SVID");
            Err(Status::new(code, message))
        };
        if status.code != Code::Ok as i32 {
            return refused(Code::from(status.code), status.message);
        }
        let Some(svid) = result.svid.filter(|svid| !svid.cert_chain.is_empty()) else {
            return refused(Code::Internal, "the server sent no certificate".to_owned());
        };
        let now = self.clock.now();
        let not_after = Timestamp::from_secs(svid.expires_at);
        if !self.rotation.is_within_reach(not_after.since(now)) {
            let spiffe_id = &entry.spiffe_id;
            tracing::warn!(entry_id = %entry.id, %spiffe_id, "X509SVID's TTL is too short for availability_target");
        }
        tracing::debug!(
            entry_id = %entry.id,
            spiffe_id = %entry.spiffe_id,
            expires_at = svid.expires_at,
            "SVID updated"
        );
        self.cache.put_svid(
            &entry.id,
            X509Svid {
                spiffe_id: entry.spiffe_id.clone(),
                chain: svid.cert_chain,
                key: wish.key,
                issued_at: now,
                not_after,
                rotate_at: self.rotation.rotate_at(now, not_after, random_fraction()),
                revision: entry.revision,
                created_at: entry.created_at,
            },
        );
        if let Some(waited) = self.awaited.minted(&entry.id) {
            metrics::pushed_svid(waited);
        }
        Ok(())
    }
}

/// Makes keys and CSRs away from the runtime's threads: RSA keys take a good part of a second.
async fn wishes(entries: Vec<Arc<Entry>>, key_type: KeyType) -> Result<Vec<Wish>, Status> {
    let make_all = move || entries.into_iter().map(|entry| make(entry, key_type)).collect();
    tokio::task::spawn_blocking(make_all).await.map_err(|error| Status::internal(error.to_string()))?
}

fn make(entry: Arc<Entry>, key_type: KeyType) -> Result<Wish, Status> {
    let internal = |error: steeple_ca::KeyError| Status::internal(error.to_string());
    let key = generate_pkcs8(key_type).map_err(internal)?;
    let signing_key = SigningKey::from_pkcs8(&key).map_err(internal)?;
    let csr = csr::request(&signing_key, &entry.spiffe_id, &[]).map_err(internal)?;
    Ok(Wish { entry, key, csr })
}

/// An entry that is gone is no failure.
fn failure_of(results: Vec<Result<(), Status>>) -> Result<(), Status> {
    let all_refused = results.iter().all(Result::is_err);
    let failure = results.into_iter().filter_map(Result::err).find(|status| status.code() != Code::NotFound);
    failure.filter(|_| all_refused).map_or(Ok(()), Err)
}

/// 0 to 1, for spreading a fleet's renewals. Not secret.
pub fn random_fraction() -> f64 {
    use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
    let mut bytes = [0; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

/// The server's burst for signing; SPIRE's agents cap their batches at it.
const BATCH_ITEMS_MAX: usize = 500;
const MINT_TIMES: CallTimes = CallTimes::long(Duration::from_secs(30));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_when_all_are_refused_the_minting_failed() {
        let refused = || Err(Status::internal("refused"));
        let gone = || Err(Status::not_found("gone"));
        assert!(failure_of(Vec::new()).is_ok());
        assert!(failure_of(vec![refused(), Ok(()), refused()]).is_ok());
        assert!(failure_of(vec![gone(), gone()]).is_ok());
        assert_eq!(failure_of(vec![gone(), refused()]).unwrap_err().code(), Code::Internal);
    }
}
