//! The nouns: messages and their conversions from and to `core`'s types.

use steeple_core as core;
use steeple_core::{
    AuthorityKind, AuthorityStatus, BundleEndpointProfile, KeyType, SealedKey, Selector as CoreSelector, SpiffeId,
    Timestamp, TrustDomain,
};

use super::super::DecodeError;
use crate::{CLUSTER_VERSION_FIRST, CLUSTER_VERSION_MAX, Suffrage, Uuid};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Selector {
    #[prost(string, tag = "1")]
    pub(crate) kind: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Entry {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) spiffe_id: String,
    #[prost(string, tag = "3")]
    pub(crate) parent_id: String,
    #[prost(message, repeated, tag = "4")]
    pub(crate) selectors: Vec<Selector>,
    #[prost(sint32, tag = "5")]
    pub(crate) x509_svid_ttl: i32,
    #[prost(sint32, tag = "6")]
    pub(crate) jwt_svid_ttl: i32,
    #[prost(string, repeated, tag = "7")]
    pub(crate) federates_with: Vec<String>,
    #[prost(bool, tag = "8")]
    pub(crate) admin: bool,
    #[prost(bool, tag = "9")]
    pub(crate) downstream: bool,
    #[prost(sint64, tag = "10")]
    pub(crate) expires_at: i64,
    #[prost(string, repeated, tag = "11")]
    pub(crate) dns_names: Vec<String>,
    #[prost(sint64, tag = "12")]
    pub(crate) revision: i64,
    #[prost(bool, tag = "13")]
    pub(crate) store_svid: bool,
    #[prost(string, tag = "14")]
    pub(crate) hint: String,
    #[prost(sint64, tag = "15")]
    pub(crate) created_at: i64,
    #[prost(bool, tag = "16")]
    pub(crate) disable_x509_svid_prefetch: bool,
    #[prost(bool, tag = "17")]
    pub(crate) jwt_svid_include_jti: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Agent {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) attestation_type: String,
    #[prost(string, tag = "3")]
    pub(crate) serial: String,
    #[prost(sint64, tag = "4")]
    pub(crate) not_after: i64,
    #[prost(string, tag = "5")]
    pub(crate) new_serial: String,
    #[prost(sint64, tag = "6")]
    pub(crate) new_not_after: i64,
    #[prost(bool, tag = "7")]
    pub(crate) can_reattest: bool,
    #[prost(message, repeated, tag = "8")]
    pub(crate) selectors: Vec<Selector>,
    #[prost(string, tag = "9")]
    pub(crate) agent_version: String,
    /// Of a row, from cluster version 4 on.
    #[prost(uint64, tag = "80")]
    pub(crate) number: u64,
}

/// Its `Debug` must not show the value, which is a credential.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct JoinToken {
    #[prost(string, tag = "1")]
    pub(crate) value: String,
    #[prost(sint64, tag = "2")]
    pub(crate) expires_at: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct X509Authority {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) der: Vec<u8>,
    #[prost(bool, tag = "2")]
    pub(crate) tainted: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct JwtAuthority {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) public_key: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) key_id: String,
    #[prost(sint64, tag = "3")]
    pub(crate) expires_at: i64,
    #[prost(bool, tag = "4")]
    pub(crate) tainted: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Bundle {
    #[prost(string, tag = "1")]
    pub(crate) trust_domain: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) x509_authorities: Vec<X509Authority>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) jwt_authorities: Vec<JwtAuthority>,
    #[prost(sint64, tag = "4")]
    pub(crate) refresh_hint: i64,
    #[prost(uint64, tag = "5")]
    pub(crate) sequence: u64,
    /// From cluster version 3 on.
    #[prost(message, repeated, tag = "80")]
    pub(crate) wit_authorities: Vec<JwtAuthority>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Authority {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(uint32, tag = "2")]
    pub(crate) kind: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) status: u32,
    #[prost(uint32, tag = "4")]
    pub(crate) key_type: u32,
    #[prost(sint64, tag = "5")]
    pub(crate) issued_at_ms: i64,
    #[prost(sint64, tag = "6")]
    pub(crate) not_after_ms: i64,
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) certificate: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(crate) upstream_chain: Vec<Vec<u8>>,
    #[prost(string, tag = "9")]
    pub(crate) upstream_authority_id: String,
    #[prost(bytes = "vec", tag = "10")]
    pub(crate) public_key: Vec<u8>,
    #[prost(uint64, tag = "11")]
    pub(crate) keyring_term: u64,
    #[prost(bytes = "vec", tag = "12")]
    pub(crate) key_ciphertext: Vec<u8>,
    #[prost(bool, tag = "13")]
    pub(crate) restored: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Relationship {
    #[prost(string, tag = "1")]
    pub(crate) trust_domain: String,
    #[prost(string, tag = "2")]
    pub(crate) bundle_endpoint_url: String,
    /// Empty for the `https_web` profile.
    #[prost(string, tag = "3")]
    pub(crate) endpoint_spiffe_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Cluster {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) uuid: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) trust_domain: String,
    #[prost(uint64, tag = "3")]
    pub(crate) node_id_next: u64,
    /// Absent in the first version.
    #[prost(uint32, optional, tag = "4")]
    pub(crate) version: Option<u32>,
    #[prost(uint32, tag = "5")]
    pub(crate) voters_target: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MemberFacts {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) storage_uuid: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) peer_address: String,
    #[prost(string, tag = "4")]
    pub(crate) api_address: String,
}

// === Conversions ===

impl From<&core::Entry> for Entry {
    fn from(entry: &core::Entry) -> Self {
        Self {
            id: entry.id.clone(),
            spiffe_id: entry.spiffe_id.to_string(),
            parent_id: entry.parent_id.to_string(),
            selectors: selectors(&entry.selectors),
            x509_svid_ttl: entry.x509_svid_ttl,
            jwt_svid_ttl: entry.jwt_svid_ttl,
            federates_with: entry.federates_with.iter().map(TrustDomain::to_string).collect(),
            admin: entry.admin,
            downstream: entry.downstream,
            expires_at: entry.expires_at,
            dns_names: entry.dns_names.clone(),
            revision: entry.revision,
            store_svid: entry.store_svid,
            hint: entry.hint.clone(),
            created_at: entry.created_at,
            disable_x509_svid_prefetch: entry.disable_x509_svid_prefetch,
            jwt_svid_include_jti: entry.jwt_svid_include_jti,
        }
    }
}

impl TryFrom<Entry> for core::Entry {
    type Error = DecodeError;

    fn try_from(entry: Entry) -> Result<Self, DecodeError> {
        Ok(Self {
            id: entry.id,
            spiffe_id: spiffe_id("SPIFFE ID of an entry", &entry.spiffe_id)?,
            parent_id: spiffe_id("parent ID of an entry", &entry.parent_id)?,
            selectors: selector_set(entry.selectors)?,
            x509_svid_ttl: entry.x509_svid_ttl,
            jwt_svid_ttl: entry.jwt_svid_ttl,
            federates_with: entry.federates_with.iter().map(|name| trust_domain(name)).collect::<Result<_, _>>()?,
            admin: entry.admin,
            downstream: entry.downstream,
            expires_at: entry.expires_at,
            dns_names: entry.dns_names,
            revision: entry.revision,
            store_svid: entry.store_svid,
            hint: entry.hint,
            created_at: entry.created_at,
            disable_x509_svid_prefetch: entry.disable_x509_svid_prefetch,
            jwt_svid_include_jti: entry.jwt_svid_include_jti,
        })
    }
}

impl From<&core::AttestedAgent> for Agent {
    fn from(agent: &core::AttestedAgent) -> Self {
        Self {
            id: agent.id.to_string(),
            attestation_type: agent.attestation_type.clone(),
            serial: agent.serial.clone(),
            not_after: agent.not_after,
            new_serial: agent.new_serial.clone(),
            new_not_after: agent.new_not_after,
            can_reattest: agent.can_reattest,
            selectors: selectors(&agent.selectors),
            agent_version: agent.agent_version.clone(),
            number: 0,
        }
    }
}

impl TryFrom<Agent> for core::AttestedAgent {
    type Error = DecodeError;

    fn try_from(agent: Agent) -> Result<Self, DecodeError> {
        Ok(Self {
            id: spiffe_id("ID of an agent", &agent.id)?,
            attestation_type: agent.attestation_type,
            serial: agent.serial,
            not_after: agent.not_after,
            new_serial: agent.new_serial,
            new_not_after: agent.new_not_after,
            can_reattest: agent.can_reattest,
            selectors: selector_set(agent.selectors)?,
            agent_version: agent.agent_version,
        })
    }
}

impl From<&core::JoinToken> for JoinToken {
    fn from(token: &core::JoinToken) -> Self {
        Self { value: token.value.clone(), expires_at: token.expires_at }
    }
}

impl From<JoinToken> for core::JoinToken {
    fn from(token: JoinToken) -> Self {
        Self { value: token.value, expires_at: token.expires_at }
    }
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JoinToken(expires_at {})", self.expires_at)
    }
}

impl From<&core::JwtAuthority> for JwtAuthority {
    fn from(authority: &core::JwtAuthority) -> Self {
        Self {
            public_key: authority.public_key.clone(),
            key_id: authority.key_id.clone(),
            expires_at: authority.expires_at,
            tainted: authority.tainted,
        }
    }
}

impl From<JwtAuthority> for core::JwtAuthority {
    fn from(authority: JwtAuthority) -> Self {
        Self {
            public_key: authority.public_key,
            key_id: authority.key_id,
            expires_at: authority.expires_at,
            tainted: authority.tainted,
        }
    }
}

impl From<&core::Bundle> for Bundle {
    fn from(bundle: &core::Bundle) -> Self {
        let x509 = bundle.x509_authorities.iter();
        Self {
            trust_domain: bundle.trust_domain.to_string(),
            x509_authorities: x509
                .map(|authority| X509Authority { der: authority.der.clone(), tainted: authority.tainted })
                .collect(),
            jwt_authorities: bundle.jwt_authorities.iter().map(JwtAuthority::from).collect(),
            wit_authorities: bundle.wit_authorities.iter().map(JwtAuthority::from).collect(),
            refresh_hint: bundle.refresh_hint,
            sequence: bundle.sequence,
        }
    }
}

impl TryFrom<Bundle> for core::Bundle {
    type Error = DecodeError;

    fn try_from(bundle: Bundle) -> Result<Self, DecodeError> {
        let x509 = bundle.x509_authorities.into_iter();
        Ok(Self {
            trust_domain: trust_domain(&bundle.trust_domain)?,
            x509_authorities: x509
                .map(|authority| core::X509Authority { der: authority.der, tainted: authority.tainted })
                .collect(),
            jwt_authorities: bundle.jwt_authorities.into_iter().map(Into::into).collect(),
            wit_authorities: bundle.wit_authorities.into_iter().map(Into::into).collect(),
            refresh_hint: bundle.refresh_hint,
            sequence: bundle.sequence,
        })
    }
}

impl From<&core::Authority> for Authority {
    fn from(authority: &core::Authority) -> Self {
        Self {
            id: authority.id.clone(),
            kind: kind_number(authority.kind),
            status: match authority.status {
                AuthorityStatus::Prepared => 1,
                AuthorityStatus::Active => 2,
                AuthorityStatus::Old => 3,
            },
            key_type: match authority.key_type {
                KeyType::EcP256 => 1,
                KeyType::EcP384 => 2,
                KeyType::Rsa2048 => 3,
                KeyType::Rsa4096 => 4,
            },
            issued_at_ms: authority.issued_at.as_ms(),
            not_after_ms: authority.not_after.as_ms(),
            certificate: authority.certificate.clone(),
            upstream_chain: authority.upstream_chain.clone(),
            upstream_authority_id: authority.upstream_authority_id.clone(),
            public_key: authority.public_key.clone(),
            keyring_term: authority.key.keyring_term,
            key_ciphertext: authority.key.ciphertext.clone(),
            restored: authority.restored,
        }
    }
}

impl TryFrom<Authority> for core::Authority {
    type Error = DecodeError;

    fn try_from(authority: Authority) -> Result<Self, DecodeError> {
        Ok(Self {
            id: authority.id,
            kind: kind(authority.kind)?,
            status: match authority.status {
                1 => AuthorityStatus::Prepared,
                2 => AuthorityStatus::Active,
                3 => AuthorityStatus::Old,
                other => return Err(DecodeError::invalid("status of an authority", other)),
            },
            key_type: match authority.key_type {
                1 => KeyType::EcP256,
                2 => KeyType::EcP384,
                3 => KeyType::Rsa2048,
                4 => KeyType::Rsa4096,
                other => return Err(DecodeError::invalid("key type of an authority", other)),
            },
            issued_at: Timestamp::from_ms(authority.issued_at_ms),
            not_after: Timestamp::from_ms(authority.not_after_ms),
            certificate: authority.certificate,
            upstream_chain: authority.upstream_chain,
            upstream_authority_id: authority.upstream_authority_id,
            public_key: authority.public_key,
            key: SealedKey { keyring_term: authority.keyring_term, ciphertext: authority.key_ciphertext },
            restored: authority.restored,
        })
    }
}

impl From<&core::FederationRelationship> for Relationship {
    fn from(relationship: &core::FederationRelationship) -> Self {
        Self {
            trust_domain: relationship.trust_domain.to_string(),
            bundle_endpoint_url: relationship.bundle_endpoint_url.clone(),
            endpoint_spiffe_id: match &relationship.profile {
                BundleEndpointProfile::HttpsSpiffe { endpoint_spiffe_id } => endpoint_spiffe_id.to_string(),
                BundleEndpointProfile::HttpsWeb => String::new(),
            },
        }
    }
}

impl TryFrom<Relationship> for core::FederationRelationship {
    type Error = DecodeError;

    fn try_from(relationship: Relationship) -> Result<Self, DecodeError> {
        let profile = match relationship.endpoint_spiffe_id.as_str() {
            "" => BundleEndpointProfile::HttpsWeb,
            id => BundleEndpointProfile::HttpsSpiffe { endpoint_spiffe_id: spiffe_id("endpoint SPIFFE ID", id)? },
        };
        Ok(Self {
            trust_domain: trust_domain(&relationship.trust_domain)?,
            bundle_endpoint_url: relationship.bundle_endpoint_url,
            profile,
        })
    }
}

impl From<&crate::Cluster> for Cluster {
    fn from(cluster: &crate::Cluster) -> Self {
        Self {
            uuid: cluster.uuid.to_vec(),
            trust_domain: cluster.trust_domain.to_string(),
            node_id_next: cluster.node_id_next,
            version: written_version(cluster.version),
            voters_target: cluster.voters_target,
        }
    }
}

impl TryFrom<Cluster> for crate::Cluster {
    type Error = DecodeError;

    fn try_from(cluster: Cluster) -> Result<Self, DecodeError> {
        Ok(Self {
            uuid: uuid(&cluster.uuid)?,
            trust_domain: trust_domain(&cluster.trust_domain)?,
            node_id_next: cluster.node_id_next,
            version: version(cluster.version)?,
            voters_target: cluster.voters_target,
        })
    }
}

/// As releases write it that knew only the first one.
pub(super) fn written_version(version: u32) -> Option<u32> {
    (version != CLUSTER_VERSION_FIRST).then_some(version)
}

/// A program that cannot take part in the cluster's version must not go on: it would meet commands it does not know.
pub(super) fn version(written: Option<u32>) -> Result<u32, DecodeError> {
    match written.unwrap_or(CLUSTER_VERSION_FIRST) {
        version @ CLUSTER_VERSION_FIRST..=CLUSTER_VERSION_MAX => Ok(version),
        found => Err(DecodeError::ClusterVersion { found }),
    }
}

pub(in super::super) fn suffrage_number(suffrage: Suffrage) -> u32 {
    match suffrage {
        Suffrage::Auto => 0,
        Suffrage::Voter => 1,
        Suffrage::Standby => 2,
    }
}

pub(in super::super) fn suffrage(number: u32) -> Result<Suffrage, DecodeError> {
    match number {
        0 => Ok(Suffrage::Auto),
        1 => Ok(Suffrage::Voter),
        2 => Ok(Suffrage::Standby),
        other => Err(DecodeError::invalid("suffrage of a member", other)),
    }
}

impl From<&crate::MemberFacts> for MemberFacts {
    fn from(facts: &crate::MemberFacts) -> Self {
        Self {
            storage_uuid: facts.storage_uuid.to_vec(),
            name: facts.name.clone(),
            peer_address: facts.peer_address.clone(),
            api_address: facts.api_address.clone(),
        }
    }
}

impl TryFrom<MemberFacts> for crate::MemberFacts {
    type Error = DecodeError;

    fn try_from(facts: MemberFacts) -> Result<Self, DecodeError> {
        Ok(Self {
            storage_uuid: uuid(&facts.storage_uuid)?,
            name: facts.name,
            peer_address: facts.peer_address,
            api_address: facts.api_address,
        })
    }
}

pub(in super::super) fn uuid(bytes: &[u8]) -> Result<Uuid, DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::invalid("UUID", format!("{} bytes", bytes.len())))
}

pub(super) fn spiffe_id(what: &'static str, text: &str) -> Result<SpiffeId, DecodeError> {
    SpiffeId::parse(text).map_err(|error| DecodeError::invalid(what, error))
}

pub(super) fn trust_domain(name: &str) -> Result<TrustDomain, DecodeError> {
    TrustDomain::from_name(name).map_err(|error| DecodeError::invalid("trust domain", error))
}

pub(super) fn kind_number(kind: AuthorityKind) -> u32 {
    match kind {
        AuthorityKind::X509 => 1,
        AuthorityKind::Jwt => 2,
        AuthorityKind::Wit => 3,
    }
}

pub(super) fn kind(number: u32) -> Result<AuthorityKind, DecodeError> {
    match number {
        1 => Ok(AuthorityKind::X509),
        2 => Ok(AuthorityKind::Jwt),
        3 => Ok(AuthorityKind::Wit),
        other => Err(DecodeError::invalid("kind of an authority", other)),
    }
}

fn selectors(set: &core::SelectorSet) -> Vec<Selector> {
    set.iter().map(|selector| Selector { kind: selector.kind.clone(), value: selector.value.clone() }).collect()
}

fn selector_set(selectors: Vec<Selector>) -> Result<core::SelectorSet, DecodeError> {
    let parse = |selector: Selector| CoreSelector::new(selector.kind, selector.value);
    let set: Result<core::SelectorSet, _> = selectors.into_iter().map(parse).collect();
    set.map_err(|error| DecodeError::invalid("selector", error))
}
