//! Signing authorities of the own trust domain, as the replicated state keeps them: public facts plus a sealed key.

use crate::Timestamp;

/// X.509: lowercase hex of the subject key id. JWT and WIT: the `kid`.
pub type AuthorityId = String;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthorityKind {
    Jwt,
    /// Signs WIT-SVIDs, where the feature flag `wit-svid` is set.
    Wit,
    X509,
}

/// SPIRE's slot states. `Old` has stopped signing and stays in the bundle until pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthorityStatus {
    Prepared,
    Active,
    Old,
}

/// `ca_key_type`, `jwt_key_type` and `wit_key_type` (SPIRE configuration).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyType {
    #[default]
    EcP256,
    EcP384,
    Rsa2048,
    Rsa4096,
}

/// A private key that only a holder of the keyring can open. Opaque here: `ca` makes and opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// Which data key of the keyring sealed it.
    pub keyring_term: u64,
    pub ciphertext: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    pub id: AuthorityId,
    pub kind: AuthorityKind,
    pub status: AuthorityStatus,
    pub key_type: KeyType,
    pub issued_at: Timestamp,
    pub not_after: Timestamp,
    /// X.509: the CA certificate's DER; empty for other kinds.
    pub certificate: Vec<u8>,
    /// X.509 under an upstream authority: further intermediates, root excluded, each DER.
    pub upstream_chain: Vec<Vec<u8>>,
    /// X.509 under an upstream authority: hex of the authority key id; empty when self-signed.
    pub upstream_authority_id: String,
    /// PKIX DER of the public key.
    pub public_key: Vec<u8>,
    pub key: SealedKey,
    /// It came back with a state that is older than what it may have been used for since: a successor takes its place
    /// as soon as verifiers can know that.
    pub restored: bool,
}

/// All authorities of one kind: at most one active and at most one beside it (prepared or old), as in SPIRE's two
/// slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthoritySet {
    pub active: Option<Authority>,
    /// SPIRE's "next" slot: a prepared authority, or the old one after an activation.
    pub next: Option<Authority>,
}

impl AuthoritySet {
    pub fn prepared(&self) -> Option<&Authority> {
        self.next.as_ref().filter(|authority| authority.status == AuthorityStatus::Prepared)
    }

    pub fn old(&self) -> Option<&Authority> {
        self.next.as_ref().filter(|authority| authority.status == AuthorityStatus::Old)
    }
}

impl AuthorityKind {
    /// In the order in which a new cluster makes its first ones.
    pub const ALL: [Self; 3] = [Self::X509, Self::Jwt, Self::Wit];

    /// In metrics and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Wit => "wit",
            Self::X509 => "x509",
        }
    }

    /// In texts, as SPIRE writes it.
    pub fn profile(self) -> &'static str {
        match self {
            Self::Jwt => "JWT",
            Self::Wit => "WIT",
            Self::X509 => "X.509",
        }
    }
}

impl KeyType {
    /// The name that SPIRE's configuration uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa4096 => "rsa-4096",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::EcP256, Self::EcP384, Self::Rsa2048, Self::Rsa4096].into_iter().find(|kind| kind.name() == name)
    }
}

impl std::fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedKey(term {}, {} bytes)", self.keyring_term, self.ciphertext.len())
    }
}
