//! The services' door to signing, on any replica.

use std::time::Duration;

use steeple_api::status;
use steeple_api::steeple::peer as wire;
use steeple_ca::{DistinguishedName, HolderKey, PublicKey};
use steeple_core::SpiffeId;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::peer::SignError;
use crate::raft::Replica;

/// Asks this replica's signer, or the leader's. Cheap to clone.
#[derive(Clone)]
pub struct Issuer {
    replica: Replica,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedX509 {
    /// DER, leaf first, without the root.
    pub chain: Vec<Vec<u8>>,
    /// Unix seconds.
    pub not_after: i64,
    /// For downstream CAs: every root of the own bundle, DER.
    pub roots: Vec<Vec<u8>>,
}

/// A JWT-SVID or a WIT-SVID.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// A bearer credential, unless it names a key.
    pub token: String,
    /// Unix seconds.
    pub issued_at: i64,
    /// Unix seconds.
    pub expires_at: i64,
}

/// A signing request that was refused, with the code for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IssueFailure {
    pub code: Code,
    pub message: String,
    /// When the same request may succeed, where the signer says so.
    pub retry_after: Option<Duration>,
}

/// An agent that is authorized for an entry; the signer looks again.
#[derive(Clone, Copy, Debug)]
pub struct AgentClaim<'a> {
    pub agent_id: &'a SpiffeId,
    /// Of the agent's certificate, in decimal.
    pub serial: &'a str,
    pub entry_id: &'a str,
}

/// A workload SVID to be signed; the caller is authorized for it.
pub struct WorkloadSvid<'a> {
    pub spiffe_id: &'a SpiffeId,
    pub public_key: &'a PublicKey,
    /// Seconds; 0 means the server's default.
    pub ttl_secs: i64,
    pub dns_names: &'a [String],
    pub subject: Option<&'a DistinguishedName>,
}

impl Issuer {
    pub fn new(replica: Replica) -> Self {
        Self { replica }
    }

    /// Results in the order of the items.
    pub async fn sign(&self, items: Vec<wire::SignItem>) -> Vec<Result<wire::sign_result::Result, IssueFailure>> {
        let count = items.len();
        match self.replica.forward_sign(items, Instant::now() + SIGN_TIMEOUT).await {
            Ok(results) => results.into_iter().map(unpack).collect(),
            Err(error) => vec![Err(error.into()); count],
        }
    }

    pub async fn x509(&self, item: wire::SignItem) -> Result<IssuedX509, IssueFailure> {
        match self.one(item).await? {
            wire::sign_result::Result::X509(signed) => Ok(signed.into()),
            _ => Err(wrong_kind()),
        }
    }

    pub async fn jwt(&self, item: wire::SignItem) -> Result<IssuedToken, IssueFailure> {
        match self.one(item).await? {
            wire::sign_result::Result::Jwt(signed) => Ok(signed.into()),
            _ => Err(wrong_kind()),
        }
    }

    /// As [`Self::x509`], for many at once.
    pub async fn x509_batch(&self, items: Vec<wire::SignItem>) -> Vec<Result<IssuedX509, IssueFailure>> {
        if items.is_empty() {
            return Vec::new();
        }
        let unpacked = self.sign(items).await.into_iter().map(|result| match result? {
            wire::sign_result::Result::X509(signed) => Ok(signed.into()),
            _ => Err(wrong_kind()),
        });
        unpacked.collect()
    }

    /// WIT-SVIDs, in the order of the items.
    pub async fn wit_batch(&self, items: Vec<wire::SignItem>) -> Vec<Result<IssuedToken, IssueFailure>> {
        if items.is_empty() {
            return Vec::new();
        }
        let unpacked = self.sign(items).await.into_iter().map(|result| match result? {
            wire::sign_result::Result::Wit(signed) => Ok(signed.into()),
            _ => Err(wrong_kind()),
        });
        unpacked.collect()
    }

    async fn one(&self, item: wire::SignItem) -> Result<wire::sign_result::Result, IssueFailure> {
        self.sign(vec![item]).await.pop().unwrap_or_else(|| Err(wrong_kind()))
    }
}

/// An item for an agent's own SVID.
pub fn agent_svid(id: &SpiffeId, public_key: &PublicKey) -> wire::SignItem {
    let params = wire::X509SvidParams {
        spiffe_id: id.to_string(),
        public_key: public_key.spki().to_vec(),
        agent: true,
        ..Default::default()
    };
    unclaimed(wire::sign_item::Kind::X509Svid(params))
}

pub fn workload_svid(svid: &WorkloadSvid<'_>) -> wire::SignItem {
    let params = wire::X509SvidParams {
        spiffe_id: svid.spiffe_id.to_string(),
        public_key: svid.public_key.spki().to_vec(),
        ttl_secs: svid.ttl_secs,
        dns_names: svid.dns_names.to_vec(),
        subject: svid.subject.map(DistinguishedName::to_der).unwrap_or_default(),
        agent: false,
    };
    unclaimed(wire::sign_item::Kind::X509Svid(params))
}

pub fn jwt_svid(id: &SpiffeId, audience: Vec<String>, ttl_secs: i64, include_jti: bool) -> wire::SignItem {
    let params = wire::JwtSvidParams { spiffe_id: id.to_string(), audience, ttl_secs, include_jti };
    unclaimed(wire::sign_item::Kind::JwtSvid(params))
}

pub fn wit_svid(id: &SpiffeId, holder: &HolderKey, ttl_secs: i64) -> wire::SignItem {
    let params = wire::WitSvidParams {
        spiffe_id: id.to_string(),
        public_key: holder.public_key().spki().to_vec(),
        algorithm: holder.algorithm().to_owned(),
        ttl_secs,
    };
    unclaimed(wire::sign_item::Kind::WitSvid(params))
}

pub fn downstream_ca(trust_domain: &SpiffeId, public_key: &PublicKey, ttl_secs: i64) -> wire::SignItem {
    let params = wire::DownstreamCaParams {
        spiffe_id: trust_domain.to_string(),
        public_key: public_key.spki().to_vec(),
        ttl_secs,
    };
    unclaimed(wire::sign_item::Kind::DownstreamCa(params))
}

/// `item` on behalf of an agent.
pub fn claimed(item: wire::SignItem, claim: AgentClaim<'_>) -> wire::SignItem {
    let claim = wire::AgentClaim {
        agent_id: claim.agent_id.to_string(),
        serial: claim.serial.to_owned(),
        entry_id: claim.entry_id.to_owned(),
    };
    wire::SignItem { claim: Some(claim), ..item }
}

fn unclaimed(kind: wire::sign_item::Kind) -> wire::SignItem {
    wire::SignItem { kind: Some(kind), claim: None }
}

impl From<wire::X509Signed> for IssuedX509 {
    fn from(signed: wire::X509Signed) -> Self {
        Self { chain: signed.cert_chain, not_after: signed.not_after, roots: signed.upstream_roots }
    }
}

impl From<wire::TokenSigned> for IssuedToken {
    fn from(signed: wire::TokenSigned) -> Self {
        Self { token: signed.token, issued_at: signed.issued_at, expires_at: signed.expires_at }
    }
}

impl IssueFailure {
    fn of(code: Code, message: String) -> Self {
        Self { code, message, retry_after: None }
    }

    /// With what was attempted in front.
    pub fn outer(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}

impl From<SignError> for IssueFailure {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Busy { why, retry_after } => {
                Self { code: Code::ResourceExhausted, message: why, retry_after: Some(retry_after) }
            }
            error => Self::of(Code::Unavailable, error.to_string()),
        }
    }
}

impl From<IssueFailure> for Status {
    fn from(failure: IssueFailure) -> Self {
        match failure.retry_after {
            Some(retry_after) => status::resource_exhausted_for(failure.message, retry_after),
            None => Self::new(failure.code, failure.message),
        }
    }
}

fn unpack(result: wire::SignResult) -> Result<wire::sign_result::Result, IssueFailure> {
    match result.result {
        Some(wire::sign_result::Result::Failure(failure)) => {
            Err(IssueFailure::of(Code::from(failure.code), failure.message))
        }
        Some(signed) => Ok(signed),
        None => Err(wrong_kind()),
    }
}

fn wrong_kind() -> IssueFailure {
    IssueFailure::of(Code::Internal, "the signer answered something else".to_owned())
}

/// Long enough for an election in between; clients retry after it.
const SIGN_TIMEOUT: Duration = Duration::from_secs(5);
