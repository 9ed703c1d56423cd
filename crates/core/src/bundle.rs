//! Trust bundles: the public half of every authority of a trust domain.

use crate::{AuthorityKind, TrustDomain};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    pub trust_domain: TrustDomain,
    pub x509_authorities: Vec<X509Authority>,
    pub jwt_authorities: Vec<JwtAuthority>,
    /// Keys that sign WIT-SVIDs: only of the own trust domain, since bundle documents do not carry them.
    pub wit_authorities: Vec<JwtAuthority>,
    /// Seconds; 0 when none was given.
    pub refresh_hint: i64,
    /// Raised by one at each effective change.
    pub sequence: u64,
}

/// A root certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509Authority {
    /// One DER certificate.
    pub der: Vec<u8>,
    pub tainted: bool,
}

/// The public half of a key that signs JWT-SVIDs, or WIT-SVIDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtAuthority {
    /// PKIX (SubjectPublicKeyInfo) DER.
    pub public_key: Vec<u8>,
    pub key_id: String,
    /// Unix seconds; 0 when the source did not say.
    pub expires_at: i64,
    pub tainted: bool,
}

impl Bundle {
    pub fn empty(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            x509_authorities: Vec::new(),
            jwt_authorities: Vec::new(),
            wit_authorities: Vec::new(),
            refresh_hint: 0,
            sequence: 0,
        }
    }

    /// The published key that signs tokens of a kind. X.509 has certificates in its place.
    pub fn key(&self, kind: AuthorityKind, key_id: &str) -> Option<&JwtAuthority> {
        let keys = match kind {
            AuthorityKind::Jwt => &self.jwt_authorities,
            AuthorityKind::Wit => &self.wit_authorities,
            AuthorityKind::X509 => return None,
        };
        keys.iter().find(|key| key.key_id == key_id)
    }

    /// With every authority in good standing.
    #[must_use]
    pub fn untainted(mut self) -> Self {
        self.x509_authorities.iter_mut().for_each(|root| root.tainted = false);
        self.jwt_authorities.iter_mut().for_each(|key| key.tainted = false);
        self.wit_authorities.iter_mut().for_each(|key| key.tainted = false);
        self
    }
}
