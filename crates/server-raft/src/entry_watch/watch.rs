//! One stream's way through the history: pure, apart from the lock.

use steeple_api::convert::entry_to_wire;
use steeple_api::steeple::server::{EntryChange, WatchEntriesResponse, entry_change};
use steeple_api::types::EntryMask;
use steeple_core::Entry;
use steeple_state::view::EntryFilter;

use super::history::{Gone, History, Position, Recorded};

/// A message ends with the change that takes it beyond this. One more still fits into gRPC's 4 MiB.
const MESSAGE_BYTES: usize = 256 * 1024;
/// Changes looked at for one message, whether they pass the filter or not: the history is locked meanwhile.
const CHANGES_LOOKED_AT_MAX: usize = 1024;

/// Which changes somebody wants, and how far it is.
pub struct Watch {
    filter: EntryFilter,
    mask: Option<EntryMask>,
    /// The client has what came up to here.
    after: u64,
    position: Position,
    /// The index that the client was told last.
    told: u64,
}

/// What the history had for it.
pub struct Piece {
    pub response: WatchEntriesResponse,
    /// Whether there is more to look at.
    pub more: bool,
}

impl Watch {
    /// For changes after `index`.
    pub fn after(index: u64, filter: EntryFilter, mask: Option<EntryMask>, history: &History) -> Result<Self, Gone> {
        Ok(Self { filter, mask, after: index, position: history.after(index)?, told: index })
    }

    /// The next changes; none and a later index where all that came passes the client by.
    pub fn next(&mut self, history: &History) -> Result<Piece, Gone> {
        let mut changes = Vec::new();
        let (mut bytes, mut looked_at) = (0, 0);
        let mut more = false;
        for (behind, recorded) in history.since(self.position)? {
            if bytes > MESSAGE_BYTES || looked_at == CHANGES_LOOKED_AT_MAX {
                more = true;
                break;
            }
            looked_at += 1;
            self.position = behind;
            if let Some(change) = self.change(recorded) {
                bytes += prost::Message::encoded_len(&change);
                changes.push(change);
            }
        }
        // A client that asked for an index that this replica does not have yet is never told an earlier one.
        self.told = self.told.max(history.complete_at(self.position));
        Ok(Piece { response: WatchEntriesResponse { resume_index: self.told, changes }, more })
    }

    /// As the client sees it: an entry that comes into its view is set, one that leaves it is gone.
    fn change(&self, recorded: &Recorded) -> Option<EntryChange> {
        if recorded.index <= self.after {
            // The history heard of it later than the client.
            return None;
        }
        let admitted = |entry: &&Entry| self.filter.admits(entry);
        let before = recorded.before.as_deref().filter(admitted);
        let change = match (before, recorded.after.as_deref().filter(admitted)) {
            (_, Some(after)) => entry_change::Change::Set(entry_to_wire(after, self.mask.as_ref())),
            (Some(before), None) => entry_change::Change::GoneId(before.id.clone()),
            (None, None) => return None,
        };
        Some(EntryChange { index: recorded.index, change: Some(change) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use steeple_core::SpiffeId;
    use steeple_state::{Change, Event};

    use super::*;
    use crate::raft::AppliedEvents;

    fn id(path: &str) -> SpiffeId {
        SpiffeId::parse(&format!("spiffe://example.org{path}")).unwrap()
    }

    fn entry(name: &str, parent: &str, hint: usize) -> Arc<Entry> {
        Arc::new(Entry {
            id: name.to_owned(),
            spiffe_id: id("/w"),
            parent_id: id(parent),
            selectors: Default::default(),
            x509_svid_ttl: 0,
            jwt_svid_ttl: 0,
            federates_with: Vec::new(),
            admin: false,
            downstream: false,
            expires_at: 0,
            dns_names: Vec::new(),
            revision: 0,
            store_svid: false,
            hint: "h".repeat(hint),
            created_at: 0,
            disable_x509_svid_prefetch: false,
            jwt_svid_include_jti: false,
        })
    }

    /// Before and after.
    type Versions = (Option<Arc<Entry>>, Option<Arc<Entry>>);

    fn applied(index: u64, changes: Vec<Versions>) -> AppliedEvents {
        let event = |(before, after)| Event { index, change: Change::Entry { before, after } };
        AppliedEvents {
            index,
            at: tokio::time::Instant::now(),
            events: changes.into_iter().map(event).collect(),
            replaced: false,
        }
    }

    fn text(response: &WatchEntriesResponse) -> Vec<String> {
        let text = |change: &EntryChange| match change.change.as_ref().unwrap() {
            entry_change::Change::Set(entry) => format!("{} +{}", change.index, entry.id),
            entry_change::Change::GoneId(id) => format!("{} -{id}", change.index),
        };
        response.changes.iter().map(text).collect()
    }

    #[test]
    fn entries_come_into_view_and_leave_it() {
        let mut history = History::beginning_after(0);
        let filter = EntryFilter { parent_id: Some(id("/mine")), ..EntryFilter::default() };
        let mut watch = Watch::after(0, filter, None, &history).unwrap();
        let (mine, other) = (|name| Some(entry(name, "/mine", 0)), |name| Some(entry(name, "/other", 0)));
        history.record(&applied(1, vec![(None, mine("a")), (None, other("b"))]));
        history.record(&applied(2, vec![(mine("a"), other("a")), (other("b"), mine("b"))]));
        history.record(&applied(3, vec![(mine("b"), None), (other("a"), None)]));
        let Piece { response, more } = watch.next(&history).unwrap();
        assert_eq!(text(&response), ["1 +a", "2 -a", "2 +b", "3 -b"]);
        assert_eq!((response.resume_index, more), (3, false));
        // What passes it by moves it on all the same.
        history.record(&applied(4, vec![(None, other("c"))]));
        let Piece { response, .. } = watch.next(&history).unwrap();
        assert_eq!((response.resume_index, response.changes.len()), (4, 0));
    }

    #[test]
    fn pieces_are_bounded_and_whoever_comes_back_misses_nothing() {
        let mut history = History::beginning_after(0);
        let many = (0..40).map(|number| (None, Some(entry(&format!("{number}"), "/p", MESSAGE_BYTES / 8)))).collect();
        history.record(&applied(5, many));
        history.record(&applied(6, vec![(None, Some(entry("last", "/p", 0)))]));
        let mut watch = Watch::after(0, EntryFilter::default(), None, &history).unwrap();
        let (mut seen, mut pieces) = (Vec::new(), 0);
        loop {
            let Piece { response, more } = watch.next(&history).unwrap();
            assert!(prost::Message::encoded_len(&response) < 2 * MESSAGE_BYTES);
            seen.extend(text(&response));
            pieces += 1;
            let mut back = Watch::after(response.resume_index, EntryFilter::default(), None, &history).unwrap();
            let next = text(&back.next(&history).unwrap().response);
            match (more, response.resume_index) {
                // Within a log entry the whole of it comes again: changes may be seen twice, and are never missed.
                (true, 4) => assert_eq!(next[0], "5 +0"),
                (true, 5) => assert_eq!(next, ["6 +last"]),
                (more, index) => assert_eq!((more, index, next.len()), (false, 6, 0)),
            }
            if !more {
                break;
            }
        }
        assert_eq!((seen.len(), seen[40].as_str()), (41, "6 +last"));
        assert!(pieces > 3);
    }

    #[test]
    fn what_the_client_has_already_is_not_sent_when_the_history_hears_of_it_late() {
        let mut history = History::beginning_after(0);
        let mut watch = Watch::after(7, EntryFilter::default(), None, &history).unwrap();
        history.record(&applied(7, vec![(None, Some(entry("a", "/p", 0)))]));
        let Piece { response, .. } = watch.next(&history).unwrap();
        assert_eq!((response.resume_index, response.changes.len()), (7, 0));
        history.record(&applied(8, vec![(None, Some(entry("b", "/p", 0)))]));
        assert_eq!(text(&watch.next(&history).unwrap().response), ["8 +b"]);
    }
}
