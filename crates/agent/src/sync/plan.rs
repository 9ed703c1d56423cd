//! What to mint and what to drop: a pure function over what is held.

use std::cmp::Reverse;

use steeple_core::{Entry, Timestamp};

use crate::cache::EntryState;
use crate::stores::{STORED_MAX, age};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Entry ids, the most urgent first: those that a stream waits for, then by remaining life.
    pub mint: Vec<String>,
    /// Entry ids whose SVIDs go: to make room, or because they have expired.
    pub drop: Vec<String>,
    /// When something falls due next; none while nothing is held.
    pub wake_at: Option<Timestamp>,
}

/// `svids_max` bounds what is held without a subscriber. Entries that ask not to be prefetched are minted only for a
/// stream that wants them; what was minted is held and renewed as others are, while there is room (SPIRE behaviour).
/// What a store takes, as `is_stored` tells, is held beside that, and of other storable entries nothing.
pub fn plan(entries: &[EntryState], svids_max: usize, is_stored: &dyn Fn(&Entry) -> bool, now: Timestamp) -> Plan {
    let subscribed = entries.iter().filter(|state| state.subscribed).count();
    let room = svids_max.saturating_sub(subscribed);
    let is_kept = |state: &EntryState| {
        let is_prefetched = !state.entry.disable_x509_svid_prefetch;
        !state.entry.store_svid && (is_prefetched || state.svid.is_some() && !has_expired(state, now))
    };
    let mut idle: Vec<&EntryState> = entries.iter().filter(|state| !state.subscribed && is_kept(state)).collect();
    // What is held stays before what would have to be minted, so that a full cache does not churn, and what somebody
    // wanted last stays longest.
    idle.sort_by_key(|state| (state.svid.is_none(), Reverse(state.last_wanted), state.entry.created_at));
    let (kept, surplus) = idle.split_at(room.min(idle.len()));
    let mut stored: Vec<&EntryState> =
        entries.iter().filter(|state| state.entry.store_svid && is_stored(&state.entry)).collect();
    stored.sort_by(|a, b| age(&a.entry).cmp(&age(&b.entry)));
    stored.truncate(STORED_MAX);

    let mut due: Vec<(bool, Timestamp, &EntryState)> = Vec::new();
    let mut wake_at: Option<Timestamp> = None;
    for state in entries.iter().filter(|state| state.subscribed).chain(kept.iter().copied()).chain(stored) {
        match urgency(state, now) {
            Some(expires_at) => due.push((!state.subscribed || state.svid.is_some(), expires_at, state)),
            None => wake_at = earliest(wake_at, state.svid.as_ref().map(|svid| svid.rotate_at)),
        }
    }
    due.sort_by(|a, b| (a.0, a.1, &a.2.entry.id).cmp(&(b.0, b.1, &b.2.entry.id)));
    let expired = entries.iter().filter(|state| has_expired(state, now));
    Plan {
        mint: due.into_iter().map(|(_, _, state)| state.entry.id.clone()).collect(),
        drop: surplus
            .iter()
            .copied()
            .chain(expired)
            .filter(|state| state.svid.is_some())
            .map(|state| state.entry.id.clone())
            .collect(),
        wake_at,
    }
}

/// Nobody would take it: a workload that asks waits for the next one.
fn has_expired(state: &EntryState, now: Timestamp) -> bool {
    state.svid.as_ref().is_some_and(|svid| svid.not_after <= now)
}

/// When the SVID that has to be replaced ends; `None` while it is good.
fn urgency(state: &EntryState, now: Timestamp) -> Option<Timestamp> {
    let Some(svid) = &state.svid else { return Some(Timestamp::from_ms(i64::MIN)) };
    let outdated = state.outdated || svid.revision != state.entry.revision || svid.created_at != state.entry.created_at;
    (outdated || now >= svid.rotate_at).then_some(svid.not_after)
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use steeple_core::Entry;

    use super::*;
    use crate::cache::tests::{entry, svid};

    fn state(id: &str, svid_life: Option<(i64, i64)>, subscribed: bool) -> EntryState {
        EntryState {
            entry: Arc::new(entry(id, &["1"])),
            svid: svid_life.map(|(from, to)| Arc::new(svid(id, from, to))),
            outdated: false,
            subscribed,
            last_wanted: 0,
        }
    }

    fn plan(entries: &[EntryState], svids_max: usize, now: i64) -> Plan {
        super::plan(entries, svids_max, &|_| false, Timestamp::from_secs(now))
    }

    fn mint(entries: &[EntryState], now: i64) -> Vec<String> {
        plan(entries, 10, now).mint
    }

    #[test]
    fn whoever_waits_comes_first_then_whoever_expires_first() {
        let entries = [
            state("idle-new", None, false),
            state("late", Some((0, 300)), true),
            state("soon", Some((0, 200)), false),
            state("waiting", None, true),
        ];
        assert_eq!(mint(&entries, 199), ["waiting", "idle-new", "soon", "late"]);
    }

    #[test]
    fn a_good_svid_is_left_alone_and_says_when_it_falls_due() {
        let entries = [state("a", Some((0, 100)), false), state("b", Some((0, 80)), true)];
        let plan = plan(&entries, 10, 10);
        assert_eq!(plan, Plan { mint: vec![], drop: vec![], wake_at: Some(Timestamp::from_secs(40)) });
    }

    #[test]
    fn a_changed_entry_is_minted_anew() {
        let mut changed = state("a", Some((0, 100)), false);
        changed.entry = Arc::new(Entry { revision: 1, ..entry("a", &["1"]) });
        let mut recreated = state("b", Some((0, 100)), false);
        recreated.entry = Arc::new(Entry { created_at: 2, ..entry("b", &["1"]) });
        assert_eq!(mint(&[changed, recreated], 1), ["a", "b"]);
    }

    #[test]
    fn room_is_made_among_those_that_nobody_wants() {
        let entries = [
            state("held", Some((0, 100)), false),
            state("new", None, false),
            state("wanted", None, true),
            state("also-held", Some((0, 100)), false),
        ];
        let plan = plan(&entries, 2, 1);
        assert_eq!(plan.mint, ["wanted"]);
        assert_eq!(plan.drop, ["also-held"]);
    }

    #[test]
    fn whom_a_stream_wanted_last_stays_longest() {
        let wanted = |id, last_wanted| EntryState { last_wanted, ..state(id, Some((0, 100)), false) };
        let entries = [wanted("never", 0), wanted("first", 1), wanted("last", 7), wanted("then", 3)];
        assert_eq!(plan(&entries, 2, 1).drop, ["first", "never"]);
    }

    #[test]
    fn what_a_store_takes_is_minted_and_renewed_beside_the_cache() {
        let storable = |id: &str, life| {
            let mut state = state(id, life, false);
            state.entry = Arc::new(Entry { store_svid: true, ..entry(id, &["1"]) });
            state
        };
        let entries = [
            state("workload", Some((0, 100)), false),
            storable("new", None),
            storable("due", Some((0, 80))),
            storable("good", Some((0, 120))),
            storable("nobodys", None),
        ];
        let is_stored = |entry: &Entry| entry.id != "nobodys";
        let plan = super::plan(&entries, 1, &is_stored, Timestamp::from_secs(45));
        assert_eq!((plan.mint, plan.drop), (vec!["new".to_owned(), "due".to_owned()], vec![]));
        assert_eq!(plan.wake_at, Some(Timestamp::from_secs(50)));
    }

    #[test]
    fn what_has_expired_is_dropped_and_still_due() {
        let entries = [state("over", Some((0, 100)), true), state("good", Some((0, 101)), true)];
        let plan = plan(&entries, 10, 100);
        assert_eq!((plan.mint, plan.drop), (vec!["over".to_owned(), "good".to_owned()], vec!["over".to_owned()]));
    }

    #[test]
    fn without_prefetch_only_a_stream_brings_an_svid_which_stays() {
        let lazy = |subscribed| {
            let mut state = state("a", None, subscribed);
            state.entry = Arc::new(Entry { disable_x509_svid_prefetch: true, ..entry("a", &["1"]) });
            state
        };
        assert!(mint(&[lazy(false)], 1).is_empty());
        assert_eq!(mint(&[lazy(true)], 1), ["a"]);
        let mut left = lazy(false);
        left.svid = Some(Arc::new(svid("a", 0, 100)));
        assert_eq!(plan(&[left.clone()], 10, 1).drop, [""; 0]);
        assert_eq!(plan(&[left.clone()], 0, 1).drop, ["a"]);
        assert_eq!(mint(&[left.clone()], 99), ["a"]);
        let over = plan(&[left], 10, 100);
        assert_eq!((over.mint, over.drop), (vec![], vec!["a".to_owned()]));
    }
}
