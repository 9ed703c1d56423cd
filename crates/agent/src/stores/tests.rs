//! Claims and records, without a store that does anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steeple_core::plugin::{BoxFuture, StoreError, StorePlace, StoredSvid, SvidStore};
use steeple_core::{Bundle, Entry, Selector, TrustDomain};

use super::*;
use crate::cache::Cache;
use crate::cache::tests::{entry, svid};

/// The place is what follows `at:`; other values do not matter to it.
struct Shelf;

impl SvidStore for Shelf {
    fn name(&self) -> &str {
        "shelf"
    }

    fn place(&self, values: &[String]) -> Result<StorePlace, StoreError> {
        let place = values.iter().find_map(|value| value.strip_prefix("at:"));
        place.map(|place| StorePlace(vec![place.to_owned()])).ok_or_else(|| StoreError::Selectors("no at:".to_owned()))
    }

    fn put<'a>(&'a self, _values: &'a [String], _svid: StoredSvid<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn delete<'a>(&'a self, _place: &'a StorePlace) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

fn stores() -> Stores {
    Stores::new(vec![Arc::new(Shelf)])
}

fn storable(id: &str, created_at: i64, selectors: &[(&str, &str)]) -> Entry {
    let selectors = selectors.iter().map(|(kind, value)| Selector::new(*kind, *value).unwrap()).collect();
    Entry { store_svid: true, created_at, selectors, ..entry(id, &[]) }
}

fn shelved(id: &str, created_at: i64, place: &str) -> Entry {
    storable(id, created_at, &[("shelf", &format!("at:{place}"))])
}

fn bundle(domain: &str, refresh_hint: i64) -> Bundle {
    Bundle { refresh_hint, ..Bundle::empty(TrustDomain::parse(domain).unwrap()) }
}

fn cache(entries: Vec<Entry>) -> Cache {
    let cache = Cache::new(TrustDomain::parse("td").unwrap());
    cache.set_bundles(vec![bundle("td", 1)]);
    cache.set_entries(entries);
    cache
}

fn slot(place: &str) -> Slot {
    Slot { store: "shelf".to_owned(), place: StorePlace(vec![place.to_owned()]) }
}

#[test]
fn the_older_entry_has_the_place_and_the_others_hear_why_not() {
    let cache = cache(vec![
        shelved("young", 2, "a"),
        shelved("old", 1, "a"),
        storable("mixed", 1, &[("shelf", "at:b"), ("unix", "uid:1")]),
        storable("elsewhere", 1, &[("aws_secretsmanager", "secretname:x")]),
        storable("nowhere", 1, &[("shelf", "on:b")]),
        entry("workload", &["1"]),
    ]);
    let claims = stores().claims(&cache);
    let holders: Vec<(&Slot, &str)> =
        claims.slots.iter().map(|(slot, claim)| (slot, claim.entry.id.as_str())).collect();
    assert_eq!(holders, [(&slot("a"), "old")]);
    let refused: BTreeMap<&str, String> =
        claims.refused.iter().map(|(entry, why)| (entry.id.as_str(), why.to_string())).collect();
    assert_eq!(refused["young"], "shelf:a is already for entry old: give one of them other selectors");
    assert_eq!(refused["mixed"], "Invalid store name in selectors: selector contains multiple types");
    assert!(refused["elsewhere"].starts_with("Error storing SVID: SVIDStore \"aws_secretsmanager\" not found"));
    assert_eq!(refused["nowhere"], "Invalid selectors: no at:");
    assert_eq!(refused.len(), 4);
    let takes: Vec<String> = cache
        .entries()
        .iter()
        .filter(|state| stores().takes(&state.entry))
        .map(|state| state.entry.id.clone())
        .collect();
    assert_eq!(takes, ["old", "young"], "each of them alone");
}

#[test]
fn there_is_a_bound_to_what_is_stored() {
    let entries = (0..=STORED_MAX).map(|at| shelved(&format!("{at:06}"), 1, &format!("{at}"))).collect();
    let claims = stores().claims(&cache(entries));
    assert_eq!((claims.slots.len(), claims.refused.len()), (STORED_MAX, 1));
    assert_eq!(claims.refused[0].1, Refusal::TooMany);
}

/// What is due, in short.
fn due(records: &Records, now: Instant) -> Vec<String> {
    let short = |due: &Due| match due {
        Due::Delete(slot) => format!("delete {slot}"),
        Due::Put { slot, claim, .. } => format!("put {} {slot}", claim.entry.id),
    };
    records.due(now, 100).iter().map(short).collect()
}

fn carry_out(records: &mut Records, now: Instant) {
    for due in records.due(now, 100) {
        records.done(&due, now);
    }
}

#[test]
fn a_place_follows_its_entry_its_svid_and_its_bundles() {
    let now = Instant::now();
    let cache = cache(vec![shelved("e", 1, "a")]);
    let mut records = Records::default();
    let want = |records: &mut Records| records.want(stores().claims(&cache).slots);
    want(&mut records);
    assert!(due(&records, now).is_empty(), "there is no SVID yet");
    cache.put_svid("e", svid("e", 0, 10));
    want(&mut records);
    assert_eq!(due(&records, now), ["put e shelf:a"]);
    carry_out(&mut records, now);
    want(&mut records);
    assert!(due(&records, now).is_empty());
    cache.put_svid("e", svid("e", 5, 15));
    want(&mut records);
    assert_eq!(due(&records, now), ["put e shelf:a"], "it was renewed");
    carry_out(&mut records, now);
    cache.set_bundles(vec![bundle("td", 2)]);
    want(&mut records);
    assert_eq!(due(&records, now), ["put e shelf:a"], "the bundle changed");
    carry_out(&mut records, now);
    cache.set_bundles(vec![bundle("td", 2), bundle("other", 1)]);
    want(&mut records);
    assert!(due(&records, now).is_empty(), "a stranger's bundle");
    let federated = Entry { federates_with: vec![TrustDomain::parse("other").unwrap()], ..shelved("e", 1, "a") };
    cache.set_entries(vec![federated]);
    want(&mut records);
    assert_eq!(due(&records, now), ["put e shelf:a"]);
    carry_out(&mut records, now);
    // An SVID that expired leaves what is there until there is another.
    cache.drop_svids(&["e".to_owned()]);
    want(&mut records);
    assert!(due(&records, now).is_empty());
    cache.put_svid("e", svid("e", 20, 30));

    let moved = shelved("e", 1, "b");
    cache.set_entries(vec![moved]);
    want(&mut records);
    assert_eq!(due(&records, now), ["delete shelf:a"], "what may be in the way goes first");
    carry_out(&mut records, now);
    assert_eq!(due(&records, now), ["put e shelf:b"]);
    carry_out(&mut records, now);
    cache.set_entries(Vec::new());
    want(&mut records);
    assert_eq!(due(&records, now), ["delete shelf:b"]);
    carry_out(&mut records, now);
    want(&mut records);
    assert!(due(&records, now).is_empty() && records.by_slot_is_empty());
}

#[test]
fn an_entry_with_other_values_for_the_same_place_is_put_anew_without_a_gap() {
    let now = Instant::now();
    let cache = cache(vec![shelved("e", 1, "a")]);
    cache.put_svid("e", svid("e", 0, 10));
    let mut records = Records::default();
    records.want(stores().claims(&cache).slots);
    carry_out(&mut records, now);
    cache.set_entries(vec![storable("e", 1, &[("shelf", "at:a"), ("shelf", "owner:1")])]);
    records.want(stores().claims(&cache).slots);
    assert_eq!(due(&records, now), ["put e shelf:a"]);
}

#[test]
fn what_was_left_by_an_earlier_life_goes_unless_it_is_wanted() {
    let now = Instant::now();
    let cache = cache(vec![shelved("e", 1, "a")]);
    let mut records = Records::default();
    records.found(slot("a"));
    records.found(slot("stale"));
    records.want(stores().claims(&cache).slots);
    assert_eq!(due(&records, now), ["delete shelf:stale"], "the files of an entry that waits for its SVID stay");
}

#[test]
fn what_fails_is_tried_again_after_pauses_that_grow_to_a_bound() {
    let begin = Instant::now();
    let cache = cache(vec![shelved("e", 1, "a")]);
    cache.put_svid("e", svid("e", 0, 10));
    let mut records = Records::default();
    let (mut now, mut pauses) = (begin, Vec::new());
    for _ in 0..9 {
        records.want(stores().claims(&cache).slots);
        let due = records.due(now, 100);
        let pause = records.failed(&due[0], now);
        assert!(records.due(now, 100).is_empty());
        assert_eq!((records.wake_at(), records.open()), (now.checked_add(pause), 1));
        pauses.push(pause.as_secs());
        now += pause;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    // Whoever mends the entry does not wait, and what may be there goes with it.
    cache.set_entries(vec![storable("e", 1, &[("shelf", "at:a"), ("shelf", "owner:1")])]);
    records.want(stores().claims(&cache).slots);
    let before = now - Duration::from_secs(59);
    assert_eq!(due(&records, before), ["put e shelf:a"]);
    cache.set_entries(Vec::new());
    records.want(stores().claims(&cache).slots);
    assert_eq!(due(&records, before), ["delete shelf:a"]);
}

#[test]
fn a_deletion_that_comes_late_has_what_was_put_meanwhile_put_again() {
    let now = Instant::now();
    let cache = cache(vec![shelved("early", 1, "early"), shelved("e", 1, "a")]);
    for id in ["early", "e"] {
        cache.put_svid(id, svid(id, 0, 10));
    }
    let mut records = Records::default();
    records.want(stores().claims(&cache).slots);
    carry_out(&mut records, now);
    cache.set_entries(vec![shelved("early", 1, "early"), shelved("e", 1, "b")]);
    records.want(stores().claims(&cache).slots);
    let later = now + Duration::from_secs(5);
    let deletion = records.due(later, 100).remove(0);
    let pause = records.failed(&deletion, later);
    assert_eq!(due(&records, later), ["put e shelf:b"], "nobody waits for a deletion that fails");
    carry_out(&mut records, later);
    carry_out(&mut records, later + pause);
    assert_eq!(due(&records, later + pause), ["put e shelf:b"]);
    carry_out(&mut records, later + pause);
    assert!(due(&records, later + pause).is_empty());
}
