//! The state itself: every table in memory, its hash, and the way in from rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use steeple_core::{
    AcmeAccount, AcmeChallenge, Authority, AuthorityKind, AuthoritySet, Bundle, FederationRelationship, JoinToken,
    Timestamp, WebCertificate,
};

use crate::codec::{self, DecodeError, Meta, Row, SealedRow, Slot};
use crate::index::{AgentIndex, ByDomain, EntryIndex};
use crate::requests::Requests;
use crate::{Cluster, KeptAnchor, Member, Sealed, SealedName, StateHash, Table};

/// The replicated state. Changed only by [`State::apply`]; read through the methods of [`crate::view`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub(crate) meta: Meta,
    pub(crate) applied_index: u64,
    pub(crate) hash: StateHash,
    pub(crate) entries: EntryIndex,
    pub(crate) agents: AgentIndex,
    /// Token, or its digest, to its expiry in Unix seconds.
    pub(crate) join_tokens: BTreeMap<String, i64>,
    pub(crate) bundles: ByDomain<Arc<Bundle>>,
    pub(crate) relationships: ByDomain<FederationRelationship>,
    pub(crate) x509_authorities: AuthoritySet,
    pub(crate) jwt_authorities: AuthoritySet,
    pub(crate) wit_authorities: AuthoritySet,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) members: BTreeMap<u64, Member>,
    pub(crate) keyring: Option<Sealed>,
    pub(crate) peer_ca: Option<Sealed>,
    pub(crate) requests: Requests,
    /// By the URL of the directory.
    pub(crate) acme_accounts: BTreeMap<String, AcmeAccount>,
    /// By domain.
    pub(crate) acme_challenges: BTreeMap<String, AcmeChallenge>,
    /// By domain.
    pub(crate) web_certificates: BTreeMap<String, Arc<WebCertificate>>,
    /// By node id and epoch.
    pub(crate) audit_anchors: BTreeMap<(u64, u64), KeptAnchor>,
}

impl State {
    /// A state without a row: what a new disk holds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rebuilds the state, indexes and hash from the rows that storage holds, in any order. `applied_index` is what
    /// storage wrote beside them.
    pub fn from_rows<K, V>(
        applied_index: u64,
        rows: impl IntoIterator<Item = (Table, K, V)>,
    ) -> Result<Self, DecodeError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut state = Self { applied_index, ..Self::default() };
        for (table, key, value) in rows {
            state.load(table, key.as_ref(), value.as_ref())?;
        }
        Ok(state)
    }

    /// The log index of the last command applied; not part of the hash.
    pub fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// Entries without commands were passed: the state is that of `index`.
    pub fn passed(&mut self, index: u64) {
        self.applied_index = self.applied_index.max(index);
    }

    /// Over all rows: equal on all replicas at equal applied indexes.
    pub fn hash(&self) -> StateHash {
        self.hash
    }

    /// The replicated clock: the highest stamp so far, so that it never runs backwards unless an operator resets it.
    pub fn now(&self) -> Timestamp {
        self.meta.now
    }

    /// How many rows all tables have.
    pub fn row_count(&self) -> u64 {
        let tables = [
            self.entries.len(),
            self.agents.len(),
            self.join_tokens.len(),
            self.bundles.len(),
            self.relationships.len(),
            self.members.len(),
            self.requests.len(),
            self.acme_accounts.len(),
            self.acme_challenges.len(),
            self.web_certificates.len(),
            self.audit_anchors.len(),
        ];
        let authorities = AuthorityKind::ALL.map(|kind| self.authority_set(kind));
        let singles = [self.cluster.is_some(), self.keyring.is_some(), self.peer_ca.is_some(), !self.meta.is_new()];
        let slots = authorities.into_iter().flat_map(|set| [set.active.is_some(), set.next.is_some()]);
        let present = slots.chain(singles).filter(|present| *present).count();
        (tables.into_iter().sum::<usize>() + present) as u64
    }

    pub(crate) fn authority_set(&self, kind: AuthorityKind) -> &AuthoritySet {
        match kind {
            AuthorityKind::Jwt => &self.jwt_authorities,
            AuthorityKind::Wit => &self.wit_authorities,
            AuthorityKind::X509 => &self.x509_authorities,
        }
    }

    pub(crate) fn slot_mut(&mut self, kind: AuthorityKind, slot: Slot) -> &mut Option<Authority> {
        let set = match kind {
            AuthorityKind::Jwt => &mut self.jwt_authorities,
            AuthorityKind::Wit => &mut self.wit_authorities,
            AuthorityKind::X509 => &mut self.x509_authorities,
        };
        match slot {
            Slot::Active => &mut set.active,
            Slot::Next => &mut set.next,
        }
    }

    pub(crate) fn sealed_mut(&mut self, name: SealedName) -> &mut Option<Sealed> {
        match name {
            SealedName::Keyring => &mut self.keyring,
            SealedName::PeerCa => &mut self.peer_ca,
        }
    }

    fn load(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        match table {
            Table::Meta => self.meta = self.decode::<Meta>(key, value)?,
            Table::Entries => {
                let row = self.decode::<codec::EntryRow>(key, value)?;
                if self.entries.get(row.number).is_some() || self.entries.find(&row.entry.id).is_some() {
                    return Err(DecodeError::DuplicateRow { table });
                }
                self.entries.insert(row.number, Arc::unwrap_or_clone(row.entry));
            }
            Table::Agents => {
                let row = self.decode::<codec::AgentRow>(key, value)?;
                if self.agents.holds_number(row.number) {
                    return Err(DecodeError::DuplicateRow { table });
                }
                self.agents.insert(row);
            }
            Table::JoinTokens => {
                let token = self.decode::<JoinToken>(key, value)?;
                self.join_tokens.insert(token.value, token.expires_at);
            }
            Table::Bundles => {
                let row = self.decode::<codec::BundleRow>(key, value)?;
                if self.bundles.holds_number(row.number) {
                    return Err(DecodeError::DuplicateRow { table });
                }
                self.bundles.insert(row.number, row.bundle.trust_domain.clone(), row.bundle);
            }
            Table::Relationships => {
                let row = self.decode::<codec::RelationshipRow>(key, value)?;
                if self.relationships.holds_number(row.number) {
                    return Err(DecodeError::DuplicateRow { table });
                }
                self.relationships.insert(row.number, row.relationship.trust_domain.clone(), row.relationship);
            }
            Table::Authorities => {
                let row = self.decode::<codec::AuthorityRow>(key, value)?;
                let slot = self.slot_mut(row.authority.kind, row.slot);
                *slot = Some(row.authority);
            }
            Table::Cluster => self.cluster = Some(self.decode::<Cluster>(key, value)?),
            Table::Members => {
                let member = self.decode::<Member>(key, value)?;
                self.members.insert(member.node_id, member);
            }
            Table::Requests => {
                let row = self.decode::<codec::RequestRow>(key, value)?;
                self.requests.insert(row);
            }
            Table::Sealed => {
                let row = self.decode::<SealedRow>(key, value)?;
                *self.sealed_mut(row.name) = Some(row.sealed);
            }
            Table::AcmeAccounts => {
                let account = self.decode::<AcmeAccount>(key, value)?;
                self.acme_accounts.insert(account.directory_url.clone(), account);
            }
            Table::AcmeChallenges => {
                let challenge = self.decode::<AcmeChallenge>(key, value)?;
                self.acme_challenges.insert(challenge.domain.clone(), challenge);
            }
            Table::WebCertificates => {
                let certificate = self.decode::<WebCertificate>(key, value)?;
                self.web_certificates.insert(certificate.domain.clone(), Arc::new(certificate));
            }
            Table::AuditAnchors => {
                let kept = self.decode::<KeptAnchor>(key, value)?;
                self.audit_anchors.insert((kept.anchor.node_id, kept.anchor.epoch), kept);
            }
        }
        Ok(())
    }

    /// Decodes a row, checks that it stands under its own key, and counts it into the hash.
    fn decode<R: Row>(&mut self, key: &[u8], value: &[u8]) -> Result<R, DecodeError> {
        let row: R = codec::decode_row(value)?;
        if row.key() != key {
            return Err(DecodeError::WrongKey { table: R::TABLE });
        }
        self.hash.add(R::TABLE, key, &codec::encode_row(&row));
        Ok(row)
    }
}
