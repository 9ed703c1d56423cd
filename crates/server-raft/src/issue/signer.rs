//! The signer of a replica: fence, sign, check the fence and the authority again, release.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use steeple_api::steeple::peer as wire;
use steeple_ca::policy::Policy;
use steeple_ca::template::Template;
use steeple_ca::{
    CaIssuer, CaRequest, HolderKey, JwtIssuer, JwtSvidRequest, PublicKey, Serial, SvidRequest, WitIssuer,
    WitSvidRequest, random_bytes,
};
use steeple_core::plugin::{ComposeError, CredentialComposer};
use steeple_core::{AuthorityId, AuthorityKind, Clock, KeyType, SpiffeId, Timestamp};
use tonic::Code;

use super::keys::{AuthorityKeys, KeysError};
use super::wire::{Refused, distinguished_name, refused, token_signed, x509_signed};
use crate::authz::{AgentDecision, decide};
use crate::cpu;
use crate::metrics::{BUSY, SigningBatch};
use crate::peer::{SignError, SigningHandler};
use crate::raft::{Actors, Busy, FenceError, Replica};

/// Signs for this replica's services and for followers. Refuses unless this replica leads, or votes where voters may.
#[derive(Clone)]
pub struct Signer {
    inner: Arc<Inner>,
}

/// What is signed, as this replica's configuration has it.
pub struct Profile {
    pub policy: Policy,
    /// In the order in which they have their turn.
    pub composers: Vec<Arc<dyn CredentialComposer>>,
}

struct Inner {
    replica: Replica,
    keys: Arc<AuthorityKeys>,
    profile: Profile,
    actors: Actors,
    clock: Arc<dyn Clock>,
}

/// The authorities that one batch is signed with.
struct Batch {
    now: Timestamp,
    x509: Result<(AuthorityId, Arc<CaIssuer>), KeysError>,
    jwt: Result<(AuthorityId, Arc<JwtIssuer>), KeysError>,
    wit: Result<(AuthorityId, Arc<WitIssuer>), KeysError>,
}

impl Batch {
    /// Of `items` signatures, in signatures with P-256: one with RSA takes a millisecond or several.
    fn weight(&self, items: usize) -> usize {
        let keys = [
            self.x509.as_ref().ok().map(|(_, issuer)| issuer.key_type()),
            self.jwt.as_ref().ok().map(|(_, issuer)| issuer.key_type()),
            self.wit.as_ref().ok().map(|(_, issuer)| issuer.key_type()),
        ];
        items * keys.into_iter().flatten().map(weight).max().unwrap_or(1)
    }
}

impl Signer {
    pub fn new(
        replica: Replica,
        keys: Arc<AuthorityKeys>,
        profile: Profile,
        actors: Actors,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { inner: Arc::new(Inner { replica, keys, profile, actors, clock }) }
    }
}

#[tonic::async_trait]
impl SigningHandler for Signer {
    fn on_every_voter(&self) -> bool {
        self.inner.actors == Actors::Voters
    }

    fn composers(&self) -> Vec<String> {
        self.inner.profile.composers.iter().map(|composer| composer.described()).collect()
    }

    /// Results in the order of the items.
    async fn sign(&self, items: Vec<wire::SignItem>) -> Result<Vec<wire::SignResult>, SignError> {
        let Inner { replica, keys, actors, .. } = &*self.inner;
        let count = items.len();
        let asked = SigningBatch::begin(count);
        let fence = match replica.fence(*actors).await {
            Ok(fence) => fence,
            Err(error) => return Err(fenced(error, asked)),
        };
        let inner = Arc::clone(&self.inner);
        let batch = inner.open_batch();
        let weight = batch.weight(count);
        let place = match replica.admit_signing(weight) {
            Ok(place) => place,
            Err(busy) => {
                asked.refused(BUSY);
                return Err(busy.into());
            }
        };
        let signing = cpu::compute(weight, move || {
            let _until_done = place;
            let results: Vec<_> =
                items.iter().map(|item| inner.sign_one(&batch, item).unwrap_or_else(refused)).collect();
            (batch, items, results)
        });
        let (batch, items, results) = match signing.await {
            Ok(signed) => signed,
            Err(error) => return Ok(all(count, &Refused::new(Code::Internal, format!("signing stopped: {error}")))),
        };
        if let Err(error) = replica.check(&fence).await {
            // Whoever signs no longer holds no key open.
            keys.forget();
            tracing::warn!(%error, count, "signatures discarded");
            return Err(fenced(error, asked));
        }
        if !self.inner.still_active(&batch) {
            return Err(fenced(FenceError::Overtaken, asked));
        }
        asked.released(&items, &results);
        Ok(results)
    }
}

impl Inner {
    fn open_batch(&self) -> Batch {
        let state = self.replica.state().read();
        let (x509, jwt, wit) = (self.keys.x509(&state), self.keys.jwt(&state), self.keys.wit(&state));
        Batch { now: self.clock.now(), x509, jwt, wit }
    }

    fn still_active(&self, batch: &Batch) -> bool {
        let state = self.replica.state().read();
        let is_active = |kind, id: &AuthorityId| state.active_authority(kind).is_some_and(|active| active.id == *id);
        batch.x509.as_ref().map_or(true, |(id, _)| is_active(AuthorityKind::X509, id))
            && batch.jwt.as_ref().map_or(true, |(id, _)| is_active(AuthorityKind::Jwt, id))
            && batch.wit.as_ref().map_or(true, |(id, _)| is_active(AuthorityKind::Wit, id))
    }

    fn sign_one(&self, batch: &Batch, item: &wire::SignItem) -> Result<wire::SignResult, Refused> {
        use wire::sign_item::Kind;
        if let Some(claim) = &item.claim {
            self.check_claim(batch.now, claim)?;
        }
        match &item.kind {
            Some(Kind::X509Svid(params)) => self.x509_svid(batch, params),
            Some(Kind::JwtSvid(params)) => self.jwt_svid(batch, params),
            Some(Kind::WitSvid(params)) => self.wit_svid(batch, params),
            Some(Kind::DownstreamCa(params)) => self.downstream_ca(batch, params),
            None => Err(Refused::new(Code::InvalidArgument, "empty signing request")),
        }
    }

    /// The replica that asks may not have applied yet what this one acknowledged: a ban, or the end of an entry.
    fn check_claim(&self, now: Timestamp, claim: &wire::AgentClaim) -> Result<(), Refused> {
        let agent_id = parse_id(&claim.agent_id)?;
        let state = self.replica.state().read();
        let record = state.agent(&agent_id).map(AsRef::as_ref);
        // The certificate's dates were checked where the connection is; here only the record matters.
        if let AgentDecision::Deny(_) = decide(record, &claim.serial, now, now) {
            return Err(Refused::new(Code::PermissionDenied, "the agent is not active"));
        }
        match state.authorized_entry(&agent_id, &claim.entry_id) {
            Some(_) => Ok(()),
            None => Err(Refused::new(Code::NotFound, "entry not found or not authorized")),
        }
    }

    fn x509_svid(&self, batch: &Batch, params: &wire::X509SvidParams) -> Result<wire::SignResult, Refused> {
        let (_, issuer) = batch.x509.as_ref()?;
        let spiffe_id = parse_id(&params.spiffe_id)?;
        let serial = Serial::random(&SystemRandom::new())?;
        let Profile { policy, composers } = &self.profile;
        let (template, default_ttl) = if params.agent {
            (Template::svid(spiffe_id, serial), policy.agent_ttl)
        } else if spiffe_id.is_reserved() {
            // A server's own: no entry can have such an ID, and none is minted.
            (Template::svid(spiffe_id, serial), policy.x509_svid_ttl)
        } else {
            let subject = distinguished_name(&params.subject)?;
            let template = Template::workload_svid(spiffe_id, params.dns_names.clone(), subject, serial);
            let template = template.composed(&params.public_key, composers);
            let refused = |error: ComposeError| Refused::new(Code::Internal, error.to_string());
            (template.map_err(refused)?, policy.x509_svid_ttl)
        };
        let public_key = PublicKey::from_spki(&params.public_key)?;
        let ttl = ttl(params.ttl_secs, default_ttl);
        Ok(x509_signed(issuer.issue_svid(batch.now, SvidRequest { template, public_key, ttl })?))
    }

    fn jwt_svid(&self, batch: &Batch, params: &wire::JwtSvidParams) -> Result<wire::SignResult, Refused> {
        let (_, issuer) = batch.jwt.as_ref()?;
        let request = JwtSvidRequest {
            spiffe_id: &parse_id(&params.spiffe_id)?,
            audience: &params.audience,
            ttl: ttl(params.ttl_secs, self.profile.policy.jwt_svid_ttl),
            token_id: if params.include_jti { Some(random_bytes(&SystemRandom::new())?) } else { None },
        };
        let signed = token_signed(issuer.issue(batch.now, &request)?);
        Ok(wire::SignResult { result: Some(wire::sign_result::Result::Jwt(signed)) })
    }

    fn wit_svid(&self, batch: &Batch, params: &wire::WitSvidParams) -> Result<wire::SignResult, Refused> {
        let (_, issuer) = batch.wit.as_ref()?;
        let request = WitSvidRequest {
            spiffe_id: &parse_id(&params.spiffe_id)?,
            holder: &HolderKey::new(PublicKey::from_spki(&params.public_key)?, &params.algorithm)?,
            ttl: ttl(params.ttl_secs, self.profile.policy.wit_svid_ttl),
        };
        let signed = token_signed(issuer.issue(batch.now, &request)?);
        Ok(wire::SignResult { result: Some(wire::sign_result::Result::Wit(signed)) })
    }

    fn downstream_ca(&self, batch: &Batch, params: &wire::DownstreamCaParams) -> Result<wire::SignResult, Refused> {
        let (_, issuer) = batch.x509.as_ref()?;
        let trust_domain = parse_id(&params.spiffe_id)?.trust_domain();
        let request = CaRequest {
            trust_domain: &trust_domain,
            subject: &self.profile.policy.ca_subject,
            serial: Serial::random(&SystemRandom::new())?,
            ttl: ttl(params.ttl_secs, self.profile.policy.ca_ttl),
        };
        let public_key = PublicKey::from_spki(&params.public_key)?;
        let (certificate, chain) = issuer.issue_downstream_ca(batch.now, &public_key, request)?;
        let state = self.replica.state().read();
        let roots =
            state.own_bundle().map(|bundle| bundle.x509_authorities.iter().map(|root| root.der.clone()).collect());
        Ok(wire::SignResult {
            result: Some(wire::sign_result::Result::X509(wire::X509Signed {
                cert_chain: chain,
                not_after: certificate.not_after.as_secs(),
                upstream_roots: roots.unwrap_or_default(),
            })),
        })
    }
}

impl From<Busy> for SignError {
    fn from(busy: Busy) -> Self {
        Self::Busy { why: busy.to_string(), retry_after: busy.retry_after }
    }
}

fn fenced(error: FenceError, asked: SigningBatch) -> SignError {
    asked.refused(error.reason());
    SignError::Fenced { why: error.to_string() }
}

fn all(count: usize, why: &Refused) -> Vec<wire::SignResult> {
    (0..count).map(|_| refused(why.clone())).collect()
}

fn parse_id(text: &str) -> Result<SpiffeId, Refused> {
    SpiffeId::parse(text).map_err(|error| Refused::new(Code::InvalidArgument, format!("invalid SPIFFE ID: {error}")))
}

/// Of a signature.
fn weight(key: KeyType) -> usize {
    match key {
        KeyType::EcP256 => 1,
        KeyType::EcP384 => 8,
        KeyType::Rsa2048 => 20,
        KeyType::Rsa4096 => 130,
    }
}

/// Zero and negative mean the default (SPIRE behaviour).
fn ttl(secs: i64, default: Duration) -> Duration {
    match u64::try_from(secs) {
        Ok(secs) if secs > 0 => Duration::from_secs(secs),
        _ => default,
    }
}
