//! A naive model of entries and of what agents may see, without indexes, compared with the machine after each command.

mod common;

use std::collections::BTreeMap;

use common::arbitrary::{agent_path, any_entry, entry_command, selector_set};
use common::{Replica, agent, bundle, id, trust_domain};
use proptest::collection::vec;
use proptest::prelude::*;
use steeple_core::{AttestedAgent, Entry, MatchBehavior, SelectorSet, SpiffeId, TrustDomain};
use steeple_state::view::{EntryFilter, Onlookers, PageRequest, SelectorFilter, TrustDomainFilter};
use steeple_state::{Attestation, Code, CommandKind, EntryCreation, EntryMask, Outcome};

/// Entries in the order of creation, and agents' selectors.
#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    agents: BTreeMap<SpiffeId, SelectorSet>,
    bundles: Vec<TrustDomain>,
    now_secs: i64,
}

/// What the model expects for one item.
#[derive(Debug, PartialEq)]
enum Expected {
    Ok(Option<Entry>),
    Existing(Entry),
    Refused(Code),
}

#[derive(Clone, Debug)]
enum Step {
    Entries(CommandKind),
    Attest(&'static str, SelectorSet),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => entry_command().prop_map(Step::Entries),
        1 => (agent_path(), selector_set()).prop_map(|(path, selectors)| Step::Attest(path, selectors)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn entries_and_authorization_agree_with_the_model(steps in vec(step(), 1..40), wanted in any_entry()) {
        let mut replica = Replica::new();
        let mut model = Model { now_secs: 1000, ..Model::default() };
        for name in ["one.test", "two.test"] {
            replica.run(CommandKind::SetBundles { bundles: vec![bundle(name).into()] });
            model.bundles.push(trust_domain(name));
        }
        for step in steps {
            match step {
                Step::Attest(path, selectors) => {
                    run(&mut replica, Step::Attest(path, selectors.clone()));
                    model.agents.insert(id(path), selectors);
                }
                Step::Entries(kind) => {
                    let expected = model.run(&kind);
                    let outcome = replica.run(kind);
                    prop_assert_eq!(observed(&outcome), expected);
                }
            }
            check(&replica, &model, &wanted)?;
        }
    }
}

const AGENTS: [&str; 3] = ["/spire/agent/one", "/spire/agent/two", "/spire/agent/join_token/t1"];

fn run(replica: &mut Replica, step: Step) {
    let kind = match step {
        Step::Attest(path, selectors) => {
            let agent = AttestedAgent { selectors, ..agent(path, "1") };
            CommandKind::AttestAgent(Attestation { agent, join_token: None, first_use: false })
        }
        Step::Entries(kind) => kind,
    };
    replica.run(kind);
}

/// What agents see, by roots too.
fn seen(replica: &Replica) -> Vec<Vec<Entry>> {
    let state = &replica.state;
    let entries = |agent: &SpiffeId| -> Vec<Entry> {
        let authorized = state.authorized_entries(agent);
        assert_eq!(authorized, state.entries_below(&state.visible_roots(agent)));
        authorized.iter().map(|entry| (**entry).clone()).collect()
    };
    AGENTS.iter().map(|path| entries(&id(path))).collect()
}

proptest! {
    /// Whoever sees another set than before is an onlooker of one of the changes, though each is looked at by itself
    /// and only in the state after all of them.
    #[test]
    fn changes_lead_to_everybody_who_sees_something_else(
        before in vec(step(), 0..30),
        after in vec(step(), 1..8),
    ) {
        let mut replica = Replica::new();
        before.into_iter().for_each(|step| run(&mut replica, step));
        let seen_before = seen(&replica);
        replica.events.clear();
        after.into_iter().for_each(|step| run(&mut replica, step));
        let onlookers: Vec<Onlookers> =
            replica.events.iter().map(|event| Onlookers::of(&replica.state, [&event.change])).collect();
        for ((path, before), after) in AGENTS.iter().zip(seen_before).zip(seen(&replica)) {
            let agent = id(path);
            let record = replica.state.agent(&agent);
            let concerned = onlookers.iter().any(|onlookers| {
                onlookers.ids.contains(&agent) || record.is_some_and(|record| onlookers.have_alias_of(record))
            });
            prop_assert!(concerned || before == after, "{} is not told", path);
        }
    }
}

fn check(replica: &Replica, model: &Model, wanted: &Entry) -> Result<(), TestCaseError> {
    let listed = |filter: &EntryFilter| -> Vec<Entry> {
        let page = replica.state.entries(filter, PageRequest::ALL).unwrap();
        page.items.iter().map(|entry| (**entry).clone()).collect()
    };
    prop_assert_eq!(listed(&EntryFilter::default()), model.entries.clone());
    for filter in filters(wanted) {
        let expected: Vec<Entry> = model.entries.iter().filter(|entry| model_admits(&filter, entry)).cloned().collect();
        prop_assert_eq!(replica.state.count_entries(&filter), expected.len());
        prop_assert_eq!(listed(&filter), expected);
    }
    for path in ["/spire/agent/one", "/spire/agent/two", "/spire/agent/join_token/t1", "/nobody"] {
        let agent = id(path);
        let expected = model.authorized(&agent);
        let authorized = replica.state.authorized_entries(&agent);
        let ids: Vec<&str> = authorized.iter().map(|entry| entry.id.as_str()).collect();
        prop_assert_eq!(&ids, &expected);
        for entry in &model.entries {
            let one = replica.state.authorized_entry(&agent, &entry.id).is_some();
            prop_assert_eq!(one, expected.contains(&entry.id.as_str()), "{} for {}", entry.id, path);
        }
    }
    let flags = replica.state.caller_flags(&wanted.spiffe_id);
    let own = || model.entries.iter().filter(|entry| entry.spiffe_id == wanted.spiffe_id);
    prop_assert_eq!(flags.admin, own().any(|entry| entry.admin));
    prop_assert_eq!(flags.downstream, own().any(|entry| entry.downstream));
    Ok(())
}

impl Model {
    fn run(&mut self, kind: &CommandKind) -> Vec<Expected> {
        match kind {
            CommandKind::CreateEntries { entries } => entries.iter().map(|draft| self.create(draft)).collect(),
            CommandKind::UpdateEntries { updates } => {
                updates.iter().map(|update| self.update(&update.entry, update.mask)).collect()
            }
            CommandKind::DeleteEntries { ids } => ids.iter().map(|entry_id| self.delete(entry_id)).collect(),
            CommandKind::PruneEntries { before } => {
                self.entries.retain(|entry| entry.expires_at == 0 || entry.expires_at >= *before);
                Vec::new()
            }
            other => panic!("not an entry command: {other:?}"),
        }
    }

    fn create(&mut self, draft: &Entry) -> Expected {
        if draft.x509_svid_ttl < 0 || mixed_stored(draft) {
            return Expected::Refused(Code::InvalidArgument);
        }
        let similar = |entry: &&Entry| {
            entry.spiffe_id == draft.spiffe_id
                && entry.parent_id == draft.parent_id
                && entry.selectors == draft.selectors
        };
        if let Some(existing) = self.entries.iter().find(similar) {
            return Expected::Existing(existing.clone());
        }
        if self.entries.iter().any(|entry| entry.id == draft.id) {
            return Expected::Refused(Code::AlreadyExists);
        }
        if draft.federates_with.iter().any(|name| !self.bundles.contains(name)) {
            return Expected::Refused(Code::Internal);
        }
        let entry = Entry { created_at: self.now_secs, federates_with: distinct(draft), ..draft.clone() };
        self.entries.push(entry.clone());
        Expected::Ok(Some(entry))
    }

    fn update(&mut self, wanted: &Entry, mask: EntryMask) -> Expected {
        if mask.x509_svid_ttl && wanted.x509_svid_ttl < 0 {
            return Expected::Refused(Code::InvalidArgument);
        }
        let Some(at) = self.entries.iter().position(|entry| entry.id == wanted.id) else {
            return Expected::Refused(Code::NotFound);
        };
        let mut entry = self.entries[at].clone();
        if mask == EntryMask::ALL {
            let kept = (entry.revision, entry.created_at);
            entry = wanted.clone();
            (entry.revision, entry.created_at) = kept;
            entry.federates_with = distinct(wanted);
        } else {
            // The random masks of these tests name no other fields.
            if mask.spiffe_id {
                entry.spiffe_id = wanted.spiffe_id.clone();
            }
            if mask.parent_id {
                entry.parent_id = wanted.parent_id.clone();
            }
            if mask.selectors {
                entry.selectors = wanted.selectors.clone();
            }
            if mask.hint {
                entry.hint = wanted.hint.clone();
            }
            if mask.federates_with {
                entry.federates_with = distinct(wanted);
            }
        }
        if mask.selectors && mixed_stored(&entry) {
            return Expected::Refused(Code::InvalidArgument);
        }
        if mask.federates_with && entry.federates_with.iter().any(|name| !self.bundles.contains(name)) {
            return Expected::Refused(Code::Internal);
        }
        entry.revision += 1;
        self.entries[at] = entry.clone();
        Expected::Ok(Some(entry))
    }

    fn delete(&mut self, entry_id: &str) -> Expected {
        match self.entries.iter().position(|entry| entry.id == entry_id) {
            Some(at) => {
                self.entries.remove(at);
                Expected::Ok(None)
            }
            None => Expected::Refused(Code::NotFound),
        }
    }

    /// Grows the set of parents until nothing is added.
    fn authorized(&self, agent: &SpiffeId) -> Vec<&str> {
        let is_alias = |entry: &Entry| entry.parent_id == id("/spire/server");
        let own = self.agents.get(agent).cloned().unwrap_or_default();
        let mut parents = vec![agent.clone()];
        let aliases = self.entries.iter().filter(|entry| is_alias(entry) && entry.selectors.is_subset(&own));
        parents.extend(aliases.map(|alias| alias.spiffe_id.clone()));
        loop {
            let below = self.entries.iter().filter(|entry| !is_alias(entry) && parents.contains(&entry.parent_id));
            let below: Vec<&Entry> = below.collect();
            let new: Vec<SpiffeId> = below.iter().map(|entry| entry.spiffe_id.clone()).collect();
            let before = parents.len();
            for id in new {
                if !parents.contains(&id) {
                    parents.push(id);
                }
            }
            if parents.len() == before {
                return below.iter().map(|entry| entry.id.as_str()).collect();
            }
        }
    }
}

fn observed(outcome: &Outcome) -> Vec<Expected> {
    match outcome {
        Outcome::EntriesCreated(results) => results
            .iter()
            .map(|result| match result {
                EntryCreation::Created(entry) => Expected::Ok(Some((**entry).clone())),
                EntryCreation::AlreadyExists(entry) => Expected::Existing((**entry).clone()),
                EntryCreation::Rejected(rejection) => Expected::Refused(rejection.code),
            })
            .collect(),
        Outcome::EntriesUpdated(results) => results
            .iter()
            .map(|result| match result {
                Ok(entry) => Expected::Ok(Some((**entry).clone())),
                Err(rejection) => Expected::Refused(rejection.code),
            })
            .collect(),
        Outcome::Deleted(results) => results
            .iter()
            .map(|result| match result {
                Ok(()) => Expected::Ok(None),
                Err(rejection) => Expected::Refused(rejection.code),
            })
            .collect(),
        Outcome::Pruned { more: false, .. } => Vec::new(),
        other => panic!("unexpected outcome {other:?}"),
    }
}

fn mixed_stored(entry: &Entry) -> bool {
    let mut kinds: Vec<&str> = entry.selectors.iter().map(|selector| selector.kind.as_str()).collect();
    kinds.dedup();
    entry.store_svid && kinds.len() > 1
}

fn distinct(entry: &Entry) -> Vec<TrustDomain> {
    let mut names = entry.federates_with.clone();
    names.sort();
    names.dedup();
    names
}

const BEHAVIORS: [MatchBehavior; 4] =
    [MatchBehavior::Exact, MatchBehavior::Subset, MatchBehavior::Superset, MatchBehavior::Any];

fn filters(wanted: &Entry) -> Vec<EntryFilter> {
    let mut filters = vec![
        EntryFilter { spiffe_id: Some(wanted.spiffe_id.clone()), ..EntryFilter::default() },
        EntryFilter { parent_id: Some(wanted.parent_id.clone()), ..EntryFilter::default() },
        EntryFilter {
            spiffe_id: Some(wanted.spiffe_id.clone()),
            parent_id: Some(wanted.parent_id.clone()),
            downstream: wanted.downstream,
            ..EntryFilter::default()
        },
        EntryFilter { hint: Some(wanted.hint.clone()), ..EntryFilter::default() },
    ];
    for how in BEHAVIORS {
        let selectors = Some(SelectorFilter { selectors: wanted.selectors.clone(), how });
        filters.push(EntryFilter { selectors, ..EntryFilter::default() });
        let federates_with = Some(TrustDomainFilter { trust_domains: vec![trust_domain("one.test")], how });
        filters.push(EntryFilter { federates_with, ..EntryFilter::default() });
    }
    filters
}

fn model_admits(filter: &EntryFilter, entry: &Entry) -> bool {
    let federation = |wanted: &TrustDomainFilter| {
        let (has, wants) = (&entry.federates_with, &wanted.trust_domains);
        let shared = has.iter().filter(|name| wants.contains(name)).count();
        match wanted.how {
            MatchBehavior::Exact => shared == has.len() && shared == wants.len(),
            MatchBehavior::Subset => !has.is_empty() && shared == has.len(),
            MatchBehavior::Superset => shared == wants.len(),
            MatchBehavior::Any => shared > 0,
        }
    };
    filter.spiffe_id.as_ref().is_none_or(|wanted| *wanted == entry.spiffe_id)
        && filter.parent_id.as_ref().is_none_or(|wanted| *wanted == entry.parent_id)
        && filter.hint.as_ref().is_none_or(|wanted| *wanted == entry.hint)
        && filter.selectors.as_ref().is_none_or(|wanted| entry.selectors.matches(wanted.how, &wanted.selectors))
        && filter.federates_with.as_ref().is_none_or(federation)
        && (!filter.downstream || entry.downstream)
}
