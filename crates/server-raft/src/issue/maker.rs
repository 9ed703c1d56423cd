//! Makes signing authorities: the private key here and sealed at once, the certificate by itself or by the authority
//! above. Only what [`Made`] holds goes to the log.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use steeple_ca::policy::Policy;
use steeple_ca::{
    CaIssuer, CaRequest, IssueError, KeyError, RandomError, Serial, SigningKey, certificate, csr, generate_pkcs8,
    random_key_id, self_signed_ca,
};
use steeple_core::plugin::UpstreamError;
use steeple_core::{
    Authority, AuthorityId, AuthorityKind, AuthorityStatus, JwtAuthority, KeyType, Secret, Timestamp, TrustDomain,
};
use steeple_plugins::{CaCheckError, check_ca};
use steeple_state::CommandKind;

use super::keys::{AuthorityKeys, KeysError};
use crate::raft::Replica;
use crate::upstream_authority::Upstream;

/// One per replica.
pub struct AuthorityMaker {
    pub replica: Replica,
    pub keys: Arc<AuthorityKeys>,
    pub policy: Policy,
    pub trust_domain: TrustDomain,
    /// `None`: the X.509 authorities are roots.
    pub upstream: Option<Upstream>,
}

/// A fresh authority with its private key sealed, ready to be proposed.
pub struct Made {
    pub authority: Authority,
    /// DER; under an authority above these are published instead of the certificate.
    pub upstream_roots: Vec<Vec<u8>>,
}

#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("X509 CA minted by upstream authority is invalid: {0}")]
    Minted(CaCheckError),
    #[error("X509 CA minted by upstream authority is invalid: {0}")]
    MintedShape(&'static str),
    #[error(transparent)]
    Random(#[from] RandomError),
    #[error(transparent)]
    Seal(#[from] steeple_ca::seal::SealError),
    #[error("making the key was stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

impl MakeError {
    /// Another replica can make it.
    pub fn is_sealed(&self) -> bool {
        matches!(self, Self::Keys(KeysError::Sealed(_)))
    }
}

/// The public half of an X.509 authority.
struct Certified {
    id: AuthorityId,
    /// DER: the authority, then what stands above it without the root.
    chain: Vec<Vec<u8>>,
    not_after: Timestamp,
    /// Hex; empty for a root.
    upstream_authority_id: String,
    upstream_roots: Vec<Vec<u8>>,
}

impl AuthorityMaker {
    pub async fn make(&self, now: Timestamp, kind: AuthorityKind) -> Result<Made, MakeError> {
        let key_type = self.policy.key_type(kind);
        // An RSA key takes a good part of a second.
        let pkcs8 = tokio::task::spawn_blocking(move || generate_pkcs8(key_type)).await??;
        match kind {
            AuthorityKind::X509 => self.make_x509(now, key_type, &pkcs8).await,
            AuthorityKind::Jwt | AuthorityKind::Wit => self.make_key(now, kind, key_type, &pkcs8).await,
        }
    }

    /// An authority of another server: its key is sealed as one made here, and its roots are in the bundle.
    pub fn adopt(&self, authority: Authority, pkcs8: &Secret, upstream_roots: Vec<Vec<u8>>) -> Result<Made, MakeError> {
        let key = self.seal(authority.kind, &authority.id, pkcs8)?;
        Ok(Made { authority: Authority { key, ..authority }, upstream_roots })
    }

    async fn make_x509(&self, now: Timestamp, key_type: KeyType, pkcs8: &Secret) -> Result<Made, MakeError> {
        let key = SigningKey::from_pkcs8(pkcs8)?;
        let public_key = key.public_key().spki().to_vec();
        let certified = match &self.upstream {
            Some(upstream) => self.have_signed(upstream, now, key).await?,
            None => self.sign_self(now, &key)?,
        };
        let mut chain = certified.chain.into_iter();
        let certificate = chain.next().ok_or(MakeError::MintedShape("the chain is empty"))?;
        let sealed = self.seal(AuthorityKind::X509, &certified.id, pkcs8)?;
        let authority = Authority {
            id: certified.id,
            kind: AuthorityKind::X509,
            status: AuthorityStatus::Prepared,
            key_type,
            issued_at: now,
            not_after: certified.not_after,
            certificate,
            upstream_chain: chain.collect(),
            upstream_authority_id: certified.upstream_authority_id,
            public_key,
            key: sealed,
            restored: false,
        };
        Ok(Made { authority, upstream_roots: certified.upstream_roots })
    }

    /// A JWT key is published above before it is proposed: no token may be out that nobody there can verify. WIT keys
    /// stay within the trust domain's own bundle (SPIRE behaviour).
    async fn make_key(
        &self,
        now: Timestamp,
        kind: AuthorityKind,
        key_type: KeyType,
        pkcs8: &Secret,
    ) -> Result<Made, MakeError> {
        let id = random_key_id(&SystemRandom::new())?;
        let public_key = SigningKey::from_pkcs8(pkcs8)?.public_key().spki().to_vec();
        let not_after = Timestamp::from_secs(now.saturating_add(self.policy.ca_ttl).as_secs());
        if let Some(upstream) = self.upstream.as_ref().filter(|_| kind == AuthorityKind::Jwt) {
            let published = JwtAuthority {
                public_key: public_key.clone(),
                key_id: id.clone(),
                expires_at: not_after.as_secs(),
                tainted: false,
            };
            upstream.publish_jwt_key(&published).await?;
        }
        let sealed = self.seal(kind, &id, pkcs8)?;
        let authority = Authority {
            id,
            kind,
            status: AuthorityStatus::Prepared,
            key_type,
            issued_at: now,
            not_after,
            certificate: Vec::new(),
            upstream_chain: Vec::new(),
            upstream_authority_id: String::new(),
            public_key,
            key: sealed,
            restored: false,
        };
        Ok(Made { authority, upstream_roots: Vec::new() })
    }

    fn sign_self(&self, now: Timestamp, key: &SigningKey) -> Result<Certified, MakeError> {
        let serial = Serial::random(&SystemRandom::new())?;
        let (trust_domain, subject) = (&self.trust_domain, &self.policy.ca_subject);
        let certificate =
            self_signed_ca(now, key, CaRequest { trust_domain, subject, serial, ttl: self.policy.ca_ttl })?;
        Ok(Certified {
            id: certificate.authority_id,
            chain: vec![certificate.der],
            not_after: certificate.not_after,
            upstream_authority_id: String::new(),
            upstream_roots: Vec::new(),
        })
    }

    /// What came back is tried out before anyone depends on it.
    async fn have_signed(&self, upstream: &Upstream, now: Timestamp, key: SigningKey) -> Result<Certified, MakeError> {
        let serial = Serial::random(&SystemRandom::new())?;
        let csr = csr::ca_request(&key, &self.trust_domain, &self.policy.ca_subject, serial)?;
        let minted = upstream.mint_x509_ca(&csr, self.policy.ca_ttl).await?;
        let [certificate, intermediates @ ..] = minted.chain.as_slice() else {
            return Err(MakeError::MintedShape("the chain is empty"));
        };
        let facts = certificate::facts(certificate).ok_or(MakeError::MintedShape("not a certificate"))?;
        let public_key = key.public_key().clone();
        let issuer = CaIssuer::new(certificate, intermediates, key)?;
        check_ca(&issuer, &public_key, &self.trust_domain, &minted.roots, now).map_err(MakeError::Minted)?;
        Ok(Certified {
            id: facts.subject_key_id.map_or_else(|| public_key.key_id_hex(), hex::encode),
            not_after: facts.not_after,
            upstream_authority_id: facts.authority_key_id.map(hex::encode).unwrap_or_default(),
            chain: minted.chain,
            upstream_roots: minted.roots,
        })
    }

    fn seal(
        &self,
        kind: AuthorityKind,
        id: &AuthorityId,
        pkcs8: &Secret,
    ) -> Result<steeple_core::SealedKey, MakeError> {
        let keyring = self.keys.keyring(&self.replica.state().read())?;
        Ok(keyring.seal(kind.into(), id, pkcs8)?)
    }
}

impl Made {
    pub fn into_command(self) -> CommandKind {
        CommandKind::PrepareAuthority { authority: Box::new(self.authority), upstream_roots: self.upstream_roots }
    }
}
