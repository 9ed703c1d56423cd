//! The only door to the tables: each method changes memory and indexes, notes the row for storage and the event for
//! watchers, and keeps the hash.

use std::sync::Arc;

use steeple_core::{
    AcmeAccount, AcmeChallenge, AttestedAgent, Authority, AuthorityKind, Bundle, Entry, FederationRelationship,
    JoinToken, SpiffeId, Timestamp, TrustDomain, WebCertificate,
};

use crate::codec::{
    self, AgentRow, AuthorityRow, BundleRow, EntryRow, Meta, RelationshipRow, RequestRow, Row, SealedRow, Slot,
};
use crate::{
    AgentChange, Applied, CLUSTER_VERSION_AGENT_NUMBERS, Change, Cluster, Event, KeptAnchor, Member, Outcome,
    Rejection, RowChange, Sealed, SealedName, State,
};

pub(super) struct Writer<'a> {
    state: &'a mut State,
    index: u64,
    stamp: Timestamp,
    meta_before: Meta,
    events: Vec<Event>,
    changes: Vec<RowChange>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(state: &'a mut State, index: u64, at: Timestamp) -> Self {
        let meta_before = state.meta;
        state.meta.now = state.meta.now.max(at);
        Self { state, index, stamp: at, meta_before, events: Vec::new(), changes: Vec::new() }
    }

    pub(super) fn finish(mut self, outcome: Outcome) -> Applied {
        let (before, after) = (self.meta_before, self.state.meta);
        self.record(Some(&before).filter(|meta| !meta.is_new()), Some(&after).filter(|meta| !meta.is_new()));
        self.state.applied_index = self.index;
        Applied { outcome, events: self.events, changes: self.changes }
    }

    pub(super) fn state(&self) -> &State {
        self.state
    }

    /// Of the log entry.
    pub(super) fn index(&self) -> u64 {
        self.index
    }

    pub(super) fn now(&self) -> Timestamp {
        self.state.meta.now
    }

    /// What the clock of whoever stamped this said: earlier than [`Self::now`] when the log's time ran ahead of it.
    pub(super) fn stamp(&self) -> Timestamp {
        self.stamp
    }

    /// The one way back: to the stamp.
    pub(super) fn reset_clock(&mut self) {
        self.state.meta.now = self.stamp;
    }

    pub(super) fn trust_domain(&self) -> Result<TrustDomain, Rejection> {
        self.state.trust_domain().cloned().ok_or_else(Rejection::uninitialised)
    }

    // === Entries ===

    pub(super) fn insert_entry(&mut self, entry: Entry) -> Arc<Entry> {
        let number = self.next_number();
        self.set_entry(number, None, entry)
    }

    /// Puts `entry` in the place of the one with the same id.
    pub(super) fn replace_entry(&mut self, entry: Entry) -> Arc<Entry> {
        let (number, before) = match self.state.entries.number_of(&entry.id) {
            Some(number) => (number, self.state.entries.remove(number)),
            None => (self.next_number(), None),
        };
        self.set_entry(number, before, entry)
    }

    pub(super) fn remove_entry(&mut self, number: u64) {
        if let Some(entry) = self.state.entries.remove(number) {
            self.record(Some(&EntryRow { number, entry: entry.clone() }), None);
            self.event(Change::Entry { before: Some(entry), after: None });
        }
    }

    fn set_entry(&mut self, number: u64, before: Option<Arc<Entry>>, entry: Entry) -> Arc<Entry> {
        let after = self.state.entries.insert(number, entry);
        let row_before = before.clone().map(|entry| EntryRow { number, entry });
        self.record(row_before.as_ref(), Some(&EntryRow { number, entry: after.clone() }));
        self.event(Change::Entry { before, after: Some(after.clone()) });
        after
    }

    // === Agents and join tokens ===

    pub(super) fn put_agent(&mut self, agent: AttestedAgent, change: AgentChange) -> Arc<AttestedAgent> {
        let id = agent.id.clone();
        let number = self.state.agents.number_of(&id).unwrap_or_else(|| self.next_agent_number());
        let after = AgentRow { number, agent: Arc::new(agent) };
        let before = self.state.agents.insert(after.clone());
        if self.record(before.as_ref(), Some(&after)) {
            self.event(Change::Agent { id, change });
        }
        after.agent
    }

    pub(super) fn remove_agent(&mut self, id: &SpiffeId) {
        if let Some(before) = self.state.agents.remove(id) {
            self.record(Some(&before), None);
            self.event(Change::Agent { id: id.clone(), change: AgentChange::Deleted });
        }
    }

    pub(super) fn put_join_token(&mut self, token: &JoinToken) {
        let token = JoinToken { value: self.state.held_name(&token.value), expires_at: token.expires_at };
        let before = self.state.join_tokens.insert(token.value.clone(), token.expires_at);
        let before = before.map(|expires_at| JoinToken { value: token.value.clone(), expires_at });
        self.record(before.as_ref(), Some(&token));
    }

    /// Takes the token away and tells when it expires.
    pub(super) fn take_join_token(&mut self, named: &str) -> Option<i64> {
        let value = self.state.held_name(named);
        let expires_at = self.state.join_tokens.remove(&value)?;
        self.record(Some(&JoinToken { value, expires_at }), None);
        Some(expires_at)
    }

    // === Bundles and relationships ===

    pub(super) fn put_bundle(&mut self, bundle: Bundle) -> Arc<Bundle> {
        let (trust_domain, after) = (bundle.trust_domain.clone(), Arc::new(bundle));
        let number = self.state.bundles.number_of(&trust_domain).unwrap_or_else(|| self.next_number());
        let before = self.state.bundles.insert(number, trust_domain.clone(), after.clone());
        let row = |bundle| BundleRow { number, bundle };
        if self.record(before.map(row).as_ref(), Some(&row(after.clone()))) {
            self.event(Change::Bundle { trust_domain });
        }
        after
    }

    pub(super) fn remove_bundle(&mut self, trust_domain: &TrustDomain) {
        if let Some((number, bundle)) = self.state.bundles.remove(trust_domain) {
            self.record(Some(&BundleRow { number, bundle }), None);
            self.event(Change::Bundle { trust_domain: trust_domain.clone() });
        }
    }

    pub(super) fn put_relationship(&mut self, relationship: FederationRelationship) {
        let trust_domain = relationship.trust_domain.clone();
        let number = self.state.relationships.number_of(&trust_domain).unwrap_or_else(|| self.next_number());
        let before = self.state.relationships.insert(number, trust_domain.clone(), relationship.clone());
        let row = |relationship| RelationshipRow { number, relationship };
        if self.record(before.map(row).as_ref(), Some(&row(relationship))) {
            self.event(Change::Relationship { trust_domain });
        }
    }

    pub(super) fn remove_relationship(&mut self, trust_domain: &TrustDomain) {
        if let Some((number, relationship)) = self.state.relationships.remove(trust_domain) {
            self.record(Some(&RelationshipRow { number, relationship }), None);
            self.event(Change::Relationship { trust_domain: trust_domain.clone() });
        }
    }

    // === Authorities and the cluster ===

    pub(super) fn set_slot(&mut self, kind: AuthorityKind, slot: Slot, authority: Option<Authority>) {
        let before = std::mem::replace(self.state.slot_mut(kind, slot), authority.clone());
        let before = before.map(|authority| AuthorityRow { slot, authority });
        let after = authority.map(|authority| AuthorityRow { slot, authority });
        if self.record(before.as_ref(), after.as_ref()) {
            self.event(Change::Authority { kind });
        }
    }

    pub(super) fn put_cluster(&mut self, cluster: Cluster) {
        let before = self.state.cluster.replace(cluster.clone());
        if self.record(before.as_ref(), Some(&cluster)) {
            match before {
                None => self.event(Change::Cluster),
                Some(before) if before.node_id_next != cluster.node_id_next => {}
                // How many vote, or may do what.
                Some(_) => self.event(Change::Members),
            }
        }
    }

    pub(super) fn put_member(&mut self, member: Member) {
        let before = self.state.members.insert(member.node_id, member.clone());
        if self.record(before.as_ref(), Some(&member)) {
            self.event(Change::Members);
        }
    }

    pub(super) fn remove_member(&mut self, node_id: u64) {
        if let Some(before) = self.state.members.remove(&node_id) {
            self.record(Some(&before), None);
            self.event(Change::Members);
        }
    }

    pub(super) fn put_sealed(&mut self, name: SealedName, sealed: Sealed) {
        let revision = sealed.revision;
        let before = self.state.sealed_mut(name).replace(sealed.clone());
        let before = before.map(|sealed| SealedRow { name, sealed });
        if self.record(before.as_ref(), Some(&SealedRow { name, sealed })) {
            self.event(match name {
                SealedName::Keyring => Change::Keyring { revision },
                SealedName::PeerCa => Change::PeerCa { revision },
            });
        }
    }

    // === Certificates of the web ===

    pub(super) fn put_acme_account(&mut self, account: AcmeAccount) {
        let before = self.state.acme_accounts.insert(account.directory_url.clone(), account.clone());
        self.record(before.as_ref(), Some(&account));
    }

    pub(super) fn remove_acme_account(&mut self, directory_url: &str) {
        if let Some(before) = self.state.acme_accounts.remove(directory_url) {
            self.record(Some(&before), None);
        }
    }

    pub(super) fn put_acme_challenge(&mut self, challenge: AcmeChallenge) {
        let before = self.state.acme_challenges.insert(challenge.domain.clone(), challenge.clone());
        self.record(before.as_ref(), Some(&challenge));
    }

    pub(super) fn remove_acme_challenge(&mut self, domain: &str) {
        if let Some(before) = self.state.acme_challenges.remove(domain) {
            self.record(Some(&before), None);
        }
    }

    pub(super) fn put_web_certificate(&mut self, certificate: Arc<WebCertificate>) {
        let domain = certificate.domain.clone();
        let before = self.state.web_certificates.insert(domain.clone(), Arc::clone(&certificate));
        if self.record(before.as_deref(), Some(&*certificate)) {
            self.event(Change::WebCertificate { domain });
        }
    }

    pub(super) fn remove_web_certificate(&mut self, domain: &str) {
        if let Some(before) = self.state.web_certificates.remove(domain) {
            self.record(Some(&*before), None);
            self.event(Change::WebCertificate { domain: domain.to_owned() });
        }
    }

    // === Audit chains ===

    pub(super) fn put_audit_anchor(&mut self, kept: KeptAnchor) {
        let before = self.state.audit_anchors.insert((kept.anchor.node_id, kept.anchor.epoch), kept.clone());
        self.record(before.as_ref(), Some(&kept));
    }

    pub(super) fn remove_audit_anchor(&mut self, node_and_epoch: (u64, u64)) {
        if let Some(before) = self.state.audit_anchors.remove(&node_and_epoch) {
            self.record(Some(&before), None);
        }
    }

    // === Requests ===

    pub(super) fn remember(&mut self, row: impl FnOnce(u64) -> RequestRow) {
        let row = row(self.next_number());
        self.record(None, Some(&row));
        self.state.requests.insert(row);
        while let Some(oldest) = self.state.requests.pop_surplus() {
            self.record(Some(&oldest), None);
        }
    }

    /// Numbers begin at 1, so that a page cursor of 0 lies before all of them.
    fn next_number(&mut self) -> u64 {
        self.state.meta.number_last += 1;
        self.state.meta.number_last
    }

    /// 0, which is none, until every member knows of them.
    fn next_agent_number(&mut self) -> u64 {
        match self.state.cluster_version() {
            CLUSTER_VERSION_AGENT_NUMBERS.. => self.next_number(),
            _ => 0,
        }
    }

    fn event(&mut self, change: Change) {
        self.events.push(Event { index: self.index, change });
    }

    /// Notes the change of one row; returns whether there is any.
    fn record<R: Row>(&mut self, before: Option<&R>, after: Option<&R>) -> bool {
        let value_before = before.map(codec::encode_row);
        let value_after = after.map(codec::encode_row);
        let Some(key) = after.or(before).map(Row::key) else { return false };
        if value_before == value_after {
            return false;
        }
        if let Some(value) = value_before {
            self.state.hash.remove(R::TABLE, &key, &value);
        }
        if let Some(value) = &value_after {
            self.state.hash.add(R::TABLE, &key, value);
        }
        self.changes.push(RowChange { table: R::TABLE, key, value: value_after });
        true
    }
}
