//! Changes of entries by log index, the latest ones: bounded by number and by size.

use std::collections::VecDeque;
use std::sync::Arc;

use steeple_core::Entry;
use steeple_state::Change;

use crate::raft::AppliedEvents;

/// Half a minute at 500 changes a second. A controller that was away for longer lists anew, which costs little more.
const CHANGES_MAX: usize = 16_384;
/// What the texts of the entries held may take: an ordinary entry has a few hundred bytes, and one may have megabytes.
const BYTES_MAX: usize = 32 << 20;

/// What one command did to one entry. Both versions for an update, the first one for a deletion, the second one for a
/// creation.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    pub index: u64,
    pub before: Option<Arc<Entry>>,
    pub after: Option<Arc<Entry>>,
}

/// Behind a change, or behind the last one; of this replica and this run of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u64);

/// What was asked for is not here: changes up to and including `through` are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    pub through: u64,
}

/// See the module.
#[derive(Debug)]
pub struct History {
    changes: VecDeque<Recorded>,
    bytes: usize,
    /// Position of the first one in `changes`.
    first: u64,
    /// Changes at higher log indexes are all here.
    lost_through: u64,
    /// Changes at log indexes up to this one are here, unless they are lost.
    known_through: u64,
}

impl History {
    /// Nothing is known of what came up to `index`.
    pub fn beginning_after(index: u64) -> Self {
        Self { changes: VecDeque::new(), bytes: 0, first: 0, lost_through: index, known_through: index }
    }

    /// Nothing is known any more of what came up to `index`, and every position is gone.
    pub fn begin_anew(&mut self, index: u64) {
        let beyond = self.end() + 1;
        *self = Self { first: beyond, ..Self::beginning_after(index.max(self.known_through)) };
    }

    /// The next log entry with events.
    pub fn record(&mut self, applied: &AppliedEvents) {
        if applied.index <= self.known_through {
            return;
        }
        self.known_through = applied.index;
        for event in &applied.events {
            if let Change::Entry { before, after } = &event.change {
                let recorded = Recorded { index: applied.index, before: before.clone(), after: after.clone() };
                self.bytes += recorded.bytes();
                self.changes.push_back(recorded);
            }
        }
        while self.changes.len() > CHANGES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.changes.pop_front() else { break };
            self.bytes -= oldest.bytes();
            self.first += 1;
            self.lost_through = oldest.index;
        }
    }

    /// Behind the last change at `index` or below.
    pub fn after(&self, index: u64) -> Result<Position, Gone> {
        if index < self.lost_through {
            return Err(self.gone());
        }
        let seen = self.changes.partition_point(|change| change.index <= index);
        Ok(Position(self.first + seen as u64))
    }

    /// What came after `position`, oldest first.
    pub fn since(&self, position: Position) -> Result<impl Iterator<Item = (Position, &Recorded)>, Gone> {
        let skipped = position.0.checked_sub(self.first).and_then(|skipped| usize::try_from(skipped).ok());
        let skipped = skipped.filter(|skipped| *skipped <= self.changes.len()).ok_or(self.gone())?;
        let behind = (position.0 + 1..).map(Position);
        Ok(behind.zip(self.changes.range(skipped..)))
    }

    /// The log index from which on somebody at `position` has everything to come.
    pub fn complete_at(&self, position: Position) -> u64 {
        let next = position.0.checked_sub(self.first).and_then(|next| self.changes.get(usize::try_from(next).ok()?));
        // The next change may be of the same log entry as the last one.
        next.map_or(self.known_through, |next| next.index - 1)
    }

    /// Changes at log indexes up to this one are here, or lost.
    pub fn known_through(&self) -> u64 {
        self.known_through
    }

    fn end(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    fn gone(&self) -> Gone {
        Gone { through: self.lost_through }
    }
}

impl Recorded {
    fn bytes(&self) -> usize {
        [&self.before, &self.after].into_iter().flatten().map(|entry| texts_of(entry)).sum()
    }
}

fn texts_of(entry: &Entry) -> usize {
    let selectors = entry.selectors.iter().map(|selector| selector.kind.len() + selector.value.len());
    let domains = entry.federates_with.iter().map(|domain| domain.name().len());
    let names = entry.dns_names.iter().map(String::len);
    let ids = [entry.spiffe_id.as_str(), entry.parent_id.as_str(), entry.id.as_str(), entry.hint.as_str()];
    let ids = ids.into_iter().map(str::len);
    selectors.chain(domains).chain(names).chain(ids).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use steeple_core::SpiffeId;
    use steeple_state::Event;

    fn entry(hint: usize) -> Arc<Entry> {
        let id = SpiffeId::parse("spiffe://example.org/w").unwrap();
        Arc::new(Entry {
            id: String::new(),
            spiffe_id: id.clone(),
            parent_id: id,
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

    /// A log entry that created `count` entries, with hints of `hint` bytes.
    fn created(index: u64, count: usize, hint: usize) -> AppliedEvents {
        let change = || Change::Entry { before: None, after: Some(entry(hint)) };
        let events = (0..count).map(|_| Event { index, change: change() }).collect();
        AppliedEvents { index, at: tokio::time::Instant::now(), events, replaced: false }
    }

    fn indexes(history: &History, position: Position) -> Result<Vec<u64>, Gone> {
        Ok(history.since(position)?.map(|(_, change)| change.index).collect())
    }

    #[test]
    fn whoever_knows_an_index_gets_what_came_after_it() {
        let mut history = History::beginning_after(10);
        for index in [12, 13, 15] {
            history.record(&created(index, 2, 0));
        }
        // A log entry without entries; and one that is told twice.
        history.record(&created(16, 0, 0));
        history.record(&created(13, 2, 0));
        assert_eq!(history.after(9), Err(Gone { through: 10 }));
        for (index, expected) in
            [(10, &[12, 12, 13, 13, 15, 15][..]), (12, &[13, 13, 15, 15]), (14, &[15, 15]), (15, &[]), (99, &[])]
        {
            assert_eq!(indexes(&history, history.after(index).unwrap()).unwrap(), expected, "{index}");
        }
        let behind: Vec<u64> =
            history.since(history.after(12).unwrap()).unwrap().map(|(behind, _)| history.complete_at(behind)).collect();
        assert_eq!(behind, [12, 14, 14, 16], "half of a log entry is no place to come back to");
    }

    #[test]
    fn the_oldest_go_first_and_whoever_needs_them_is_told() {
        let mut history = History::beginning_after(0);
        history.record(&created(1, 1, 0));
        let (start, at_one) = (history.after(0).unwrap(), history.after(1).unwrap());
        for index in 2..=1 + CHANGES_MAX as u64 {
            history.record(&created(index, 1, 0));
        }
        assert_eq!(history.changes.len(), CHANGES_MAX);
        assert_eq!(indexes(&history, start), Err(Gone { through: 1 }));
        assert_eq!(history.after(0), Err(Gone { through: 1 }));
        assert_eq!(indexes(&history, at_one).unwrap().len(), CHANGES_MAX);
    }

    #[test]
    fn large_entries_count_for_more() {
        let mut history = History::beginning_after(0);
        for index in 1..=9 {
            history.record(&created(index, 1, BYTES_MAX / 4));
            assert!(history.bytes <= BYTES_MAX && history.changes.len() <= 4);
        }
        assert!(history.changes.len() >= 3);
        // One log entry that is larger than the whole history leaves nothing of itself.
        history.record(&created(10, 1, BYTES_MAX + 1));
        assert_eq!((history.changes.len(), history.bytes, history.after(9)), (0, 0, Err(Gone { through: 10 })));
        assert_eq!(history.after(10).map(|behind| history.complete_at(behind)), Ok(10));
    }

    #[test]
    fn after_a_gap_every_position_is_gone() {
        let mut history = History::beginning_after(0);
        history.record(&created(1, 1, 0));
        let positions = [history.after(0).unwrap(), history.after(1).unwrap()];
        history.begin_anew(20);
        for position in positions {
            assert_eq!(indexes(&history, position), Err(Gone { through: 20 }));
        }
        history.record(&created(21, 1, 0));
        assert_eq!(indexes(&history, history.after(20).unwrap()).unwrap(), [21]);
    }
}
