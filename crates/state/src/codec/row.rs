//! What each table's rows hold, and the keys under which they stand.

use std::sync::Arc;

use prost::Message;
use steeple_core::{
    AcmeAccount, AcmeChallenge, AttestedAgent, Authority, AuthorityKind, Bundle, Entry, FederationRelationship,
    JoinToken, Timestamp, WebCertificate,
};

use super::{DecodeError, v1};
use crate::{Cluster, KeptAnchor, Member, RequestId, Sealed, SealedName, Table};

/// A record that is stored as one row.
pub(crate) trait Row: Sized {
    const TABLE: Table;
    type Message: Message + Default;

    fn key(&self) -> Vec<u8>;
    fn to_message(&self) -> Self::Message;
    fn from_message(message: Self::Message) -> Result<Self, DecodeError>;
}

/// The replicated clock, and the last record number given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) now: Timestamp,
    pub(crate) number_last: u64,
}

pub(crate) struct EntryRow {
    pub(crate) number: u64,
    pub(crate) entry: Arc<Entry>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AgentRow {
    /// 0: none.
    pub(crate) number: u64,
    pub(crate) agent: Arc<AttestedAgent>,
}

pub(crate) struct BundleRow {
    pub(crate) number: u64,
    pub(crate) bundle: Arc<Bundle>,
}

pub(crate) struct RelationshipRow {
    pub(crate) number: u64,
    pub(crate) relationship: FederationRelationship,
}

/// SPIRE's two slots of a kind of authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Active,
    Next,
}

pub(crate) struct AuthorityRow {
    pub(crate) slot: Slot,
    pub(crate) authority: Authority,
}

pub(crate) struct SealedRow {
    pub(crate) name: SealedName,
    pub(crate) sealed: Sealed,
}

/// An outcome kept for retries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequestRow {
    pub(crate) number: u64,
    pub(crate) id: RequestId,
    pub(crate) applied_at: Timestamp,
    /// An encoded [`super::StoredOutcome`].
    pub(crate) outcome: Vec<u8>,
}

impl Meta {
    /// Whether no row of it was written yet.
    pub(crate) fn is_new(&self) -> bool {
        *self == Self::default()
    }
}

impl Row for Meta {
    const TABLE: Table = Table::Meta;
    type Message = v1::Meta;

    fn key(&self) -> Vec<u8> {
        b"meta".to_vec()
    }

    fn to_message(&self) -> v1::Meta {
        v1::Meta { now_ms: self.now.as_ms(), number_last: self.number_last }
    }

    fn from_message(message: v1::Meta) -> Result<Self, DecodeError> {
        Ok(Self { now: Timestamp::from_ms(message.now_ms), number_last: message.number_last })
    }
}

impl Row for EntryRow {
    const TABLE: Table = Table::Entries;
    type Message = v1::EntryRow;

    fn key(&self) -> Vec<u8> {
        self.number.to_be_bytes().to_vec()
    }

    fn to_message(&self) -> v1::EntryRow {
        v1::EntryRow { number: self.number, entry: Some((&*self.entry).into()) }
    }

    fn from_message(message: v1::EntryRow) -> Result<Self, DecodeError> {
        let entry = message.entry.ok_or(DecodeError::Missing { what: "entry" })?;
        Ok(Self { number: message.number, entry: Arc::new(entry.try_into()?) })
    }
}

impl Row for AgentRow {
    const TABLE: Table = Table::Agents;
    type Message = v1::Agent;

    fn key(&self) -> Vec<u8> {
        self.agent.id.as_str().as_bytes().to_vec()
    }

    fn to_message(&self) -> v1::Agent {
        v1::Agent { number: self.number, ..(&*self.agent).into() }
    }

    fn from_message(message: v1::Agent) -> Result<Self, DecodeError> {
        Ok(Self { number: message.number, agent: Arc::new(message.try_into()?) })
    }
}

impl Row for JoinToken {
    const TABLE: Table = Table::JoinTokens;
    type Message = v1::JoinToken;

    fn key(&self) -> Vec<u8> {
        self.value.as_bytes().to_vec()
    }

    fn to_message(&self) -> v1::JoinToken {
        self.into()
    }

    fn from_message(message: v1::JoinToken) -> Result<Self, DecodeError> {
        Ok(message.into())
    }
}

impl Row for BundleRow {
    const TABLE: Table = Table::Bundles;
    type Message = v1::BundleRow;

    fn key(&self) -> Vec<u8> {
        self.bundle.trust_domain.name().as_bytes().to_vec()
    }

    fn to_message(&self) -> v1::BundleRow {
        v1::BundleRow { number: self.number, bundle: Some((&*self.bundle).into()) }
    }

    fn from_message(message: v1::BundleRow) -> Result<Self, DecodeError> {
        let bundle = message.bundle.ok_or(DecodeError::Missing { what: "bundle" })?;
        Ok(Self { number: message.number, bundle: Arc::new(bundle.try_into()?) })
    }
}

impl Row for RelationshipRow {
    const TABLE: Table = Table::Relationships;
    type Message = v1::RelationshipRow;

    fn key(&self) -> Vec<u8> {
        self.relationship.trust_domain.name().as_bytes().to_vec()
    }

    fn to_message(&self) -> v1::RelationshipRow {
        v1::RelationshipRow { number: self.number, relationship: Some((&self.relationship).into()) }
    }

    fn from_message(message: v1::RelationshipRow) -> Result<Self, DecodeError> {
        let relationship = message.relationship.ok_or(DecodeError::Missing { what: "federation relationship" })?;
        Ok(Self { number: message.number, relationship: relationship.try_into()? })
    }
}

impl Row for AuthorityRow {
    const TABLE: Table = Table::Authorities;
    type Message = v1::AuthorityRow;

    fn key(&self) -> Vec<u8> {
        let kind = match self.authority.kind {
            AuthorityKind::X509 => b'x',
            AuthorityKind::Jwt => b'j',
            AuthorityKind::Wit => b'w',
        };
        let slot = match self.slot {
            Slot::Active => b'a',
            Slot::Next => b'n',
        };
        vec![kind, slot]
    }

    fn to_message(&self) -> v1::AuthorityRow {
        v1::AuthorityRow { next: self.slot == Slot::Next, authority: Some((&self.authority).into()) }
    }

    fn from_message(message: v1::AuthorityRow) -> Result<Self, DecodeError> {
        let authority = message.authority.ok_or(DecodeError::Missing { what: "authority" })?;
        let slot = if message.next { Slot::Next } else { Slot::Active };
        Ok(Self { slot, authority: authority.try_into()? })
    }
}

impl Row for Cluster {
    const TABLE: Table = Table::Cluster;
    type Message = v1::Cluster;

    fn key(&self) -> Vec<u8> {
        b"cluster".to_vec()
    }

    fn to_message(&self) -> v1::Cluster {
        self.into()
    }

    fn from_message(message: v1::Cluster) -> Result<Self, DecodeError> {
        message.try_into()
    }
}

impl Row for Member {
    const TABLE: Table = Table::Members;
    type Message = v1::Member;

    fn key(&self) -> Vec<u8> {
        self.node_id.to_be_bytes().to_vec()
    }

    fn to_message(&self) -> v1::Member {
        let suffrage = v1::suffrage_number(self.suffrage);
        v1::Member { node_id: self.node_id, facts: Some((&self.facts).into()), suffrage }
    }

    fn from_message(message: v1::Member) -> Result<Self, DecodeError> {
        let facts = message.facts.ok_or(DecodeError::Missing { what: "member facts" })?;
        let suffrage = v1::suffrage(message.suffrage)?;
        Ok(Self { node_id: message.node_id, facts: facts.try_into()?, suffrage })
    }
}

impl Row for RequestRow {
    const TABLE: Table = Table::Requests;
    type Message = v1::RequestRow;

    fn key(&self) -> Vec<u8> {
        self.number.to_be_bytes().to_vec()
    }

    fn to_message(&self) -> v1::RequestRow {
        v1::RequestRow {
            number: self.number,
            id: self.id.to_vec(),
            applied_at_ms: self.applied_at.as_ms(),
            outcome: self.outcome.clone(),
        }
    }

    fn from_message(message: v1::RequestRow) -> Result<Self, DecodeError> {
        super::StoredOutcome::decode(&message.outcome)?;
        Ok(Self {
            number: message.number,
            id: v1::uuid(&message.id)?,
            applied_at: Timestamp::from_ms(message.applied_at_ms),
            outcome: message.outcome,
        })
    }
}

impl Row for SealedRow {
    const TABLE: Table = Table::Sealed;
    type Message = v1::SealedRow;

    fn key(&self) -> Vec<u8> {
        match self.name {
            SealedName::Keyring => b"keyring".to_vec(),
            SealedName::PeerCa => b"peer-ca".to_vec(),
        }
    }

    fn to_message(&self) -> v1::SealedRow {
        v1::SealedRow {
            peer_ca: self.name == SealedName::PeerCa,
            revision: self.sealed.revision,
            content: self.sealed.content.clone(),
        }
    }

    fn from_message(message: v1::SealedRow) -> Result<Self, DecodeError> {
        let name = if message.peer_ca { SealedName::PeerCa } else { SealedName::Keyring };
        Ok(Self { name, sealed: Sealed { revision: message.revision, content: message.content } })
    }
}

impl Row for AcmeAccount {
    const TABLE: Table = Table::AcmeAccounts;
    type Message = v1::AcmeAccount;

    fn key(&self) -> Vec<u8> {
        self.directory_url.as_bytes().to_vec()
    }

    fn to_message(&self) -> v1::AcmeAccount {
        self.into()
    }

    fn from_message(message: v1::AcmeAccount) -> Result<Self, DecodeError> {
        Ok(message.into())
    }
}

impl Row for AcmeChallenge {
    const TABLE: Table = Table::AcmeChallenges;
    type Message = v1::AcmeChallenge;

    fn key(&self) -> Vec<u8> {
        self.domain.as_bytes().to_vec()
    }

    fn to_message(&self) -> v1::AcmeChallenge {
        v1::AcmeChallenge::new(&self.domain, Some(self.digest))
    }

    fn from_message(message: v1::AcmeChallenge) -> Result<Self, DecodeError> {
        let digest = message.read_digest()?.ok_or(DecodeError::Missing { what: "digest of an ACME challenge" })?;
        Ok(Self { domain: message.domain, digest })
    }
}

impl Row for WebCertificate {
    const TABLE: Table = Table::WebCertificates;
    type Message = v1::WebCertificate;

    fn key(&self) -> Vec<u8> {
        self.domain.as_bytes().to_vec()
    }

    fn to_message(&self) -> v1::WebCertificate {
        self.into()
    }

    fn from_message(message: v1::WebCertificate) -> Result<Self, DecodeError> {
        Ok(message.into())
    }
}

impl Row for KeptAnchor {
    const TABLE: Table = Table::AuditAnchors;
    type Message = v1::KeptAnchor;

    fn key(&self) -> Vec<u8> {
        [self.anchor.node_id.to_be_bytes(), self.anchor.epoch.to_be_bytes()].concat()
    }

    fn to_message(&self) -> v1::KeptAnchor {
        self.into()
    }

    fn from_message(message: v1::KeptAnchor) -> Result<Self, DecodeError> {
        message.try_into()
    }
}
