//! What an envelope is bound to: the associated data of its encryption.

use steeple_core::AuthorityKind;

/// The identity of a cluster, random bytes made when it is bootstrapped.
pub type ClusterUuid = [u8; 16];

/// The place that an envelope was made for. Opening it for another place fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    pub cluster: &'a ClusterUuid,
    pub record: RecordType,
    /// The id of the key inside, for instance an authority's.
    pub key_id: &'a str,
}

/// What kind of key an envelope holds. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum RecordType {
    RootKey = 1,
    DataKey = 2,
    X509CaKey = 3,
    JwtKey = 4,
    PeerCaKey = 5,
    BackupKey = 6,
    WitKey = 7,
    AcmeAccountKey = 8,
    WebKey = 9,
    SealingKey = 10,
}

/// What an authority's key is sealed as.
impl From<AuthorityKind> for RecordType {
    fn from(kind: AuthorityKind) -> Self {
        match kind {
            AuthorityKind::Jwt => Self::JwtKey,
            AuthorityKind::Wit => Self::WitKey,
            AuthorityKind::X509 => Self::X509CaKey,
        }
    }
}

impl Binding<'_> {
    /// Every part has a fixed length or stands last, so that no two bindings give the same bytes.
    pub(super) fn to_bytes(self, term: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + self.key_id.len());
        bytes.extend_from_slice(b"steeple seal");
        bytes.push(super::envelope::VERSION);
        bytes.extend_from_slice(self.cluster);
        bytes.push(self.record as u8);
        bytes.extend_from_slice(&term.to_be_bytes());
        bytes.extend_from_slice(self.key_id.as_bytes());
        bytes
    }
}

impl RecordType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RootKey => "root key",
            Self::DataKey => "data key",
            Self::X509CaKey => "X.509 CA key",
            Self::JwtKey => "JWT key",
            Self::WitKey => "WIT key",
            Self::PeerCaKey => "peer CA key",
            Self::BackupKey => "key of the backup",
            Self::AcmeAccountKey => "key of the ACME account",
            Self::WebKey => "key of the web certificate",
            Self::SealingKey => "sealing key",
        }
    }
}
