//! From what is wanted and what is there to what is to be done. Pure.

use std::collections::{HashMap, HashSet};

use steeple_api::types::Entry;
use steeple_api::types::entry::AdditionalAttributes;

use super::files::Wanted;
use super::owner::Owner;
use crate::cli::selectors::id_text;

/// What makes two entries the same for a server, which refuses the second: SPIFFE ID, parent ID and the sorted
/// selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Key {
    spiffe_id: String,
    parent_id: String,
    selectors: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) created: Vec<Entry>,
    pub(super) updated: Vec<Change>,
    pub(super) deleted: Vec<Entry>,
    pub(super) unchanged: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) before: Entry,
    pub(super) after: Entry,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PlanError {
    #[error("{first} and {second} are the same entry for a server: remove one of them")]
    Twice { first: String, second: String },
    #[error("{source_name} has entry_id {wanted:?}, but is there under {held:?}: use that ID, or none")]
    OtherId { source_name: String, wanted: String, held: String },
}

/// What is there is found by the ID that the file gives, else by the one that this owner would have given it, else by
/// what it says: an entry that somebody made by hand is changed and stays theirs. `prune` deletes the owner's others.
pub(super) fn plan(wanted: Vec<Wanted>, held: Vec<Entry>, owner: &Owner, prune: bool) -> Result<Plan, PlanError> {
    let held: Vec<Entry> = held.into_iter().map(normal).collect();
    let by_id: HashMap<&str, &Entry> = held.iter().map(|entry| (entry.id.as_str(), entry)).collect();
    let by_key: HashMap<Key, &Entry> = held.iter().map(|entry| (Key::of(entry), entry)).collect();
    let mut plan = Plan::default();
    let mut seen: HashMap<Key, String> = HashMap::new();
    let mut kept: HashMap<String, String> = HashMap::new();
    for Wanted { entry, source } in wanted {
        let mut entry = normal(entry);
        let key = Key::of(&entry);
        let same = by_key.get(&key);
        let existing = if entry.id.is_empty() {
            entry.id = owner.id(&key);
            by_id.get(entry.id.as_str()).or(same)
        } else {
            let existing = by_id.get(entry.id.as_str());
            if let (None, Some(same)) = (existing, same) {
                let (wanted, held) = (entry.id, same.id.clone());
                return Err(PlanError::OtherId { source_name: source, wanted, held });
            }
            existing
        };
        if let Some(existing) = existing {
            entry.id.clone_from(&existing.id);
        }
        let twice = seen.insert(key, source.clone()).or_else(|| kept.get(&entry.id).cloned());
        if let Some(first) = twice {
            return Err(PlanError::Twice { first, second: source });
        }
        kept.insert(entry.id.clone(), source);
        match existing {
            None => plan.created.push(entry),
            Some(existing) if says_the_same(existing, &entry) => plan.unchanged += 1,
            Some(existing) => {
                // A server leaves attributes alone that are not sent.
                entry.additional_attributes.get_or_insert_default();
                plan.updated.push(Change { before: (*existing).clone(), after: entry });
            }
        }
    }
    if prune {
        let kept: HashSet<&String> = kept.keys().collect();
        let goes = |entry: &&Entry| owner.owns(entry) && !kept.contains(&entry.id);
        plan.deleted = held.iter().filter(goes).cloned().collect();
    }
    Ok(plan)
}

impl Key {
    fn of(entry: &Entry) -> Self {
        let selectors = entry.selectors.iter().map(|selector| (selector.r#type.clone(), selector.value.clone()));
        Self {
            spiffe_id: id_text(entry.spiffe_id.as_ref()),
            parent_id: id_text(entry.parent_id.as_ref()),
            selectors: selectors.collect(),
        }
    }
}

/// Apart from what a server adds.
fn says_the_same(held: &Entry, wanted: &Entry) -> bool {
    Entry { revision_number: 0, created_at: 0, ..held.clone() } == *wanted
}

/// Sets in one order, and one way to say nothing.
fn normal(mut entry: Entry) -> Entry {
    entry.selectors.sort_by(|a, b| (&a.r#type, &a.value).cmp(&(&b.r#type, &b.value)));
    for trust_domain in &mut entry.federates_with {
        if let Some(name) = trust_domain.strip_prefix("spiffe://") {
            *trust_domain = name.to_owned();
        }
    }
    entry.federates_with.sort();
    entry.additional_attributes =
        entry.additional_attributes.filter(|attributes| *attributes != AdditionalAttributes::default());
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use steeple_api::types::{Selector, Spiffeid};

    fn owner() -> Owner {
        Owner::parse("default").unwrap()
    }

    fn entry(path: &str, uids: &[u32]) -> Entry {
        let id = |path: &str| Some(Spiffeid { trust_domain: "example.org".into(), path: path.into() });
        let selector = |uid: &u32| Selector { r#type: "unix".into(), value: format!("uid:{uid}") };
        let selectors = uids.iter().map(selector).collect();
        Entry { spiffe_id: id(path), parent_id: id("/node"), selectors, ..Entry::default() }
    }

    fn wanted(entry: Entry) -> Wanted {
        Wanted { source: format!("{} in a file", id_text(entry.spiffe_id.as_ref())), entry }
    }

    /// What a server has after `plan`.
    fn carried_out(plan: &Plan, held: &[Entry]) -> Vec<Entry> {
        let mut result: Vec<Entry> = held.iter().filter(|entry| !plan.deleted.contains(entry)).cloned().collect();
        for change in &plan.updated {
            result.retain(|entry| entry.id != change.after.id);
            result.push(Entry { revision_number: change.before.revision_number + 1, ..change.after.clone() });
        }
        result.extend(plan.created.iter().map(|entry| Entry { created_at: 7, ..entry.clone() }));
        result
    }

    #[test]
    fn a_second_run_finds_nothing_to_do() {
        let files = || {
            let federated =
                Entry { federates_with: vec!["spiffe://b.test".into(), "a.test".into()], ..entry("/f", &[3]) };
            vec![wanted(entry("/a", &[2, 1])), wanted(federated)]
        };
        let first = plan(files(), Vec::new(), &owner(), true).unwrap();
        assert_eq!((first.created.len(), first.updated.len(), first.deleted.len()), (2, 0, 0));
        let held = carried_out(&first, &[]);
        let second = plan(files(), held, &owner(), true).unwrap();
        assert_eq!(second, Plan { unchanged: 2, ..Plan::default() });
    }

    #[test]
    fn a_changed_field_is_an_update_and_changed_selectors_are_another_entry() {
        let held = carried_out(&plan(vec![wanted(entry("/a", &[1]))], Vec::new(), &owner(), true).unwrap(), &[]);
        let longer = Entry { x509_svid_ttl: 60, ..entry("/a", &[1]) };
        let changed = plan(vec![wanted(longer)], held.clone(), &owner(), true).unwrap();
        assert_eq!((changed.updated.len(), changed.created.len(), changed.deleted.len()), (1, 0, 0));
        assert_eq!(changed.updated[0].after.id, held[0].id);
        let moved = plan(vec![wanted(entry("/a", &[2]))], held.clone(), &owner(), true).unwrap();
        assert_eq!((moved.created.len(), moved.deleted), (1, held.clone()));
        let kept = plan(vec![wanted(entry("/a", &[2]))], held, &owner(), false).unwrap();
        assert_eq!(kept.deleted, []);
    }

    #[test]
    fn what_others_made_is_never_pruned() {
        let by_hand = Entry { id: "by-hand".into(), ..entry("/a", &[1]) };
        let of_others = Entry { id: Owner::parse("other").unwrap().id(&Key::default()), ..entry("/b", &[1]) };
        let held = vec![by_hand.clone(), of_others];
        assert_eq!(plan(Vec::new(), held.clone(), &owner(), true).unwrap(), Plan::default());
        // Named in a file it is changed, and stays theirs.
        let hinted = Entry { hint: "h".into(), ..entry("/a", &[1]) };
        let adopted = plan(vec![wanted(hinted)], held.clone(), &owner(), true).unwrap();
        assert_eq!(adopted.updated[0].after.id, "by-hand");
        assert_eq!(plan(vec![wanted(by_hand)], held, &owner(), true).unwrap().unchanged, 1);
    }

    #[test]
    fn one_entry_twice_is_refused_and_so_is_another_id_for_what_is_there() {
        let twice = plan(vec![wanted(entry("/a", &[1, 2])), wanted(entry("/a", &[2, 1]))], Vec::new(), &owner(), true);
        assert!(matches!(twice, Err(PlanError::Twice { .. })), "{twice:?}");
        let named = |path: &str| wanted(Entry { id: "x".into(), ..entry(path, &[1]) });
        let same_id = plan(vec![named("/a"), named("/b")], Vec::new(), &owner(), true);
        assert!(matches!(same_id, Err(PlanError::Twice { .. })), "{same_id:?}");
        let held = vec![Entry { id: "y".into(), ..entry("/a", &[1]) }];
        let other = plan(vec![named("/a")], held, &owner(), true).unwrap_err();
        assert!(other.to_string().contains("is there under \"y\": use that ID, or none"), "{other}");
    }
}
