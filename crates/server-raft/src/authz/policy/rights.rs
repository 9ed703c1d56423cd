//! What one caller may do with one method: pure, over the state that a write will meet.

use std::collections::BTreeSet;
use std::sync::Arc;

use steeple_core::{Entry, IdPattern, SpiffeId, TrustDomain};
use steeple_state::view::EntryScope;
use steeple_state::{Code, Rejection, State};
use tonic::Status;

use super::target::short;

/// Of a caller that a role names. Whoever acts for it asks for each item.
#[derive(Clone, Debug)]
pub struct Rights {
    method: &'static str,
    /// The roles of the caller, as denials name them: `policy.hcl:12`.
    places: String,
    /// Of each rule that has the method. One that covers an item is enough; none is no right at all.
    bounds: Arc<[Bounds]>,
    reserved: Arc<BTreeSet<SpiffeId>>,
}

/// The limits of one rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    pub(super) entries: EntryScope,
    /// `None`: any.
    pub(super) trust_domains: Option<Vec<TrustDomain>>,
    /// What entries may federate with.
    pub(super) federates_with: Vec<TrustDomain>,
}

/// An item that no rule covers. `PermissionDenied`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OutOfBounds(String);

impl Rights {
    pub(super) fn new(
        method: &'static str,
        places: String,
        bounds: Arc<[Bounds]>,
        reserved: Arc<BTreeSet<SpiffeId>>,
    ) -> Self {
        Self { method, places, bounds, reserved }
    }

    /// Whether there is a rule for the method.
    pub fn grants(&self) -> bool {
        !self.bounds.is_empty()
    }

    /// Why the method as such is denied.
    pub fn no_rule(&self) -> String {
        format!("no rule of {} allows it", self.places)
    }

    // === What is seen ===

    /// The entries that lists, counts and watches are about.
    pub fn entries(&self) -> Arc<[EntryScope]> {
        self.bounds.iter().map(|bounds| bounds.entries.clone()).collect()
    }

    /// The agents that lists and counts are about; `None`: all.
    pub fn agents(&self) -> Option<Arc<[IdPattern]>> {
        let of_rules = self.bounds.iter().map(|bounds| bounds.entries.spiffe_ids.as_deref());
        Some(of_rules.collect::<Option<Vec<&[IdPattern]>>>()?.concat().into())
    }

    pub fn sees(&self, entry: &Entry) -> bool {
        self.bounds.iter().any(|bounds| bounds.entries.covers(entry))
    }

    pub fn sees_domain(&self, trust_domain: &TrustDomain) -> bool {
        self.bounds.iter().any(|bounds| bounds.covers_domain(trust_domain))
    }

    // === What is changed ===

    /// Whether the entry may be changed or deleted as it is stored.
    pub fn allow_change_of(&self, stored: &Entry) -> Result<(), OutOfBounds> {
        if !self.sees(stored) {
            return Err(self.denied(&format!("of entry {}", stored.id)));
        }
        self.allow_flags(stored)
    }

    /// Whether the entry may be stored as it would be.
    pub fn allow_entry(&self, state: &State, wanted: &Entry) -> Result<(), OutOfBounds> {
        let (id, parent) = (wanted.spiffe_id.as_str(), wanted.parent_id.as_str());
        let covering = || self.bounds.iter().filter(|bounds| bounds.covers_new(wanted));
        if covering().next().is_none() {
            return Err(self.denied(&format!("for {id} below {parent}")));
        }
        let federates = |bounds: &Bounds| wanted.federates_with.iter().all(|with| bounds.federates_with.contains(with));
        if !covering().any(federates) {
            let names: Vec<&str> = wanted.federates_with.iter().map(TrustDomain::name).collect();
            return Err(self.denied(&format!("for {id} to federate with {}", names.join(", "))));
        }
        self.allow_flags(wanted)?;
        self.allow_holding(state, &wanted.spiffe_id)
    }

    /// Whether the agent may be changed.
    pub fn allow_agent(&self, id: &SpiffeId) -> Result<(), OutOfBounds> {
        match self.covers_id(id) {
            true => Ok(()),
            false => Err(self.denied(&format!("of {}", id.as_str()))),
        }
    }

    /// Whether an SVID with this ID may be handed out.
    pub fn allow_svid(&self, state: &State, id: &SpiffeId) -> Result<(), OutOfBounds> {
        if !self.covers_id(id) {
            return Err(self.denied(&format!("for {}", id.as_str())));
        }
        self.allow_powerless(state, id)
    }

    /// Whether a node may have this ID, and so the entries below it.
    pub fn allow_node(&self, state: &State, id: &SpiffeId) -> Result<(), OutOfBounds> {
        if !self.covers_id(id) {
            return Err(self.denied(&format!("for {}", id.as_str())));
        }
        self.allow_holding(state, id)
    }

    /// Whether bundle and relationship of the trust domain may be changed.
    pub fn allow_domain(&self, trust_domain: &TrustDomain) -> Result<(), OutOfBounds> {
        if !self.sees_domain(trust_domain) {
            return Err(self.denied(&format!("for {trust_domain}")));
        }
        // Whoever sets the roots of a trust domain can be anybody of it.
        match self.reserved.iter().any(|id| id.is_member_of(trust_domain)) {
            true => Err(self.never(&format!("administrators come from {trust_domain}"))),
            false => Ok(()),
        }
    }

    /// A denial of what no rule can allow.
    pub fn never(&self, what: &str) -> OutOfBounds {
        OutOfBounds(format!("{}: {what}: not for callers with limited rights ({})", short(self.method), self.places))
    }

    fn denied(&self, what: &str) -> OutOfBounds {
        OutOfBounds(format!("no rule of {} allows {} {what}", self.places, short(self.method)))
    }

    fn covers_id(&self, id: &SpiffeId) -> bool {
        let covers = |ids: &Option<Arc<[IdPattern]>>| {
            ids.as_ref().is_none_or(|ids| ids.iter().any(|pattern| pattern.matches(id)))
        };
        self.bounds.iter().any(|bounds| covers(&bounds.entries.spiffe_ids))
    }

    /// What such entries give is more than any limited right.
    fn allow_flags(&self, entry: &Entry) -> Result<(), OutOfBounds> {
        match entry.admin || entry.downstream {
            true => Err(self.never("an admin or downstream entry")),
            false => Ok(()),
        }
    }

    /// Whoever got such an ID would have its rights in place of the limited ones.
    fn allow_powerless(&self, state: &State, id: &SpiffeId) -> Result<(), OutOfBounds> {
        let flags = state.caller_flags(id);
        match flags.admin || flags.downstream || self.reserved.contains(id) {
            true => Err(self.never(&format!("{} has rights of its own", id.as_str()))),
            false => Ok(()),
        }
    }

    /// Whoever holds an ID gets all entries below it.
    fn allow_holding(&self, state: &State, id: &SpiffeId) -> Result<(), OutOfBounds> {
        self.allow_powerless(state, id)?;
        let below = state.entries_below(std::slice::from_ref(id));
        match below.iter().find(|entry| !self.sees(entry) || entry.admin || entry.downstream) {
            Some(_) => Err(self.denied(&format!("for {}, which has entries of others below it", id.as_str()))),
            None => Ok(()),
        }
    }
}

impl Bounds {
    fn covers_domain(&self, trust_domain: &TrustDomain) -> bool {
        self.trust_domains.as_ref().is_none_or(|names| names.contains(trust_domain))
    }

    /// Of parents the server itself stands for every node that has the entry's selectors: it has to be named.
    fn covers_new(&self, entry: &Entry) -> bool {
        let is_alias = entry.parent_id == entry.parent_id.trust_domain().server_id();
        self.entries.covers(entry) && (!is_alias || self.entries.parent_ids.is_some())
    }
}

impl From<OutOfBounds> for Status {
    fn from(OutOfBounds(why): OutOfBounds) -> Self {
        Self::permission_denied(why)
    }
}

impl From<OutOfBounds> for Rejection {
    fn from(OutOfBounds(why): OutOfBounds) -> Self {
        Self::new(Code::PermissionDenied, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::policy::LIMITABLE;

    fn patterns(texts: &[&str]) -> Option<Arc<[IdPattern]>> {
        Some(texts.iter().map(|text| IdPattern::parse(&format!("spiffe://example.org{text}")).unwrap()).collect())
    }

    fn rights(bounds: Vec<Bounds>) -> Rights {
        let reserved = ["spiffe://example.org/ci", "spiffe://admins.test/root"];
        let reserved = reserved.into_iter().map(|id| SpiffeId::parse(id).unwrap()).collect();
        Rights::new(LIMITABLE[0].0, "policy.hcl:2".to_owned(), bounds.into(), Arc::new(reserved))
    }

    fn entry(path: &str, parent: &str, federates_with: &[&str]) -> Entry {
        let id = |path: &str| SpiffeId::parse(&format!("spiffe://example.org{path}")).unwrap();
        Entry {
            id: "e".to_owned(),
            spiffe_id: id(path),
            parent_id: id(parent),
            selectors: Default::default(),
            x509_svid_ttl: 0,
            jwt_svid_ttl: 0,
            federates_with: federates_with.iter().map(|name| TrustDomain::from_name(name).unwrap()).collect(),
            admin: false,
            downstream: false,
            expires_at: 0,
            dns_names: Vec::new(),
            revision: 0,
            store_svid: false,
            hint: String::new(),
            created_at: 0,
            disable_x509_svid_prefetch: false,
            jwt_svid_include_jti: false,
        }
    }

    #[test]
    fn one_rule_has_to_cover_an_item_by_all_its_keys() {
        let bounds = |ids: &[&str], parents: &[&str], with: &str| Bounds {
            entries: EntryScope { spiffe_ids: patterns(ids), parent_ids: patterns(parents) },
            federates_with: vec![TrustDomain::from_name(with).unwrap()],
            ..Bounds::default()
        };
        let rights = rights(vec![
            bounds(&["/a/*"], &["/n/*"], "one.test"),
            bounds(&["/b/*", "/a/both"], &["/spire/server", "/n/1"], "two.test"),
        ]);
        let state = State::new();
        for (wanted, allowed) in [
            (entry("/a/x", "/n/1", &[]), true),
            (entry("/a/x", "/n/1", &["one.test"]), true),
            (entry("/a/x", "/n/1", &["two.test"]), false),
            (entry("/a/both", "/n/1", &["two.test"]), true),
            (entry("/a/both", "/n/1", &["one.test", "two.test"]), false),
            (entry("/b/x", "/n/1", &[]), true),
            (entry("/b/x", "/n/2", &[]), false),
            (entry("/a/x", "/spire/server", &[]), false),
            (entry("/b/x", "/spire/server", &[]), true),
            (Entry { admin: true, ..entry("/a/x", "/n/1", &[]) }, false),
            (Entry { downstream: true, ..entry("/a/x", "/n/1", &[]) }, false),
        ] {
            let judged = rights.allow_entry(&state, &wanted);
            assert_eq!(judged.is_ok(), allowed, "{wanted:?}: {judged:?}");
        }
    }

    #[test]
    fn a_rule_without_limits_still_gives_nobody_more_than_it_is() {
        let (rights, state) = (rights(vec![Bounds::default()]), State::new());
        assert_eq!(rights.agents(), None);
        assert!(rights.allow_entry(&state, &entry("/x", "/n", &[])).is_ok());
        for refused in [
            rights.allow_entry(&state, &entry("/ci", "/n", &[])),
            rights.allow_entry(&state, &entry("/x", "/spire/server", &[])),
            rights.allow_entry(&state, &entry("/x", "/n", &["one.test"])),
            rights.allow_svid(&state, &SpiffeId::parse("spiffe://example.org/ci").unwrap()),
            rights.allow_domain(&TrustDomain::from_name("admins.test").unwrap()),
        ] {
            let why = refused.unwrap_err().to_string();
            assert!(why.contains("policy.hcl:2"), "{why}");
        }
        assert!(rights.allow_domain(&TrustDomain::from_name("other.test").unwrap()).is_ok());
    }

    #[test]
    fn what_is_seen_is_what_any_rule_covers() {
        let bounds = |ids: &[&str]| Bounds {
            entries: EntryScope { spiffe_ids: patterns(ids), parent_ids: None },
            ..Bounds::default()
        };
        let both = rights(vec![bounds(&["/a/*"]), bounds(&["/b"])]);
        let agents = both.agents().unwrap();
        assert_eq!(agents.iter().map(ToString::to_string).collect::<Vec<_>>().len(), 2);
        for (path, seen) in [("/a/x", true), ("/b", true), ("/b/x", false), ("/c", false)] {
            assert_eq!(both.sees(&entry(path, "/n", &[])), seen, "{path}");
        }
        assert!(!rights(Vec::new()).grants());
    }
}
