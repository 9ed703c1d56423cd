//! Where the log begins and ends, and what may be done to it: decisions over plain values, no I/O.

use crate::{LogEntry, StorageError};

/// The last entry that was purged: its index, and its log id in the caller's own encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    pub index: u64,
    pub id: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    pub index: u64,
    pub term: u64,
}

/// What the log holds. `first` and `last` are both present or both absent; without them the last log id is `purged`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBounds {
    pub purged: Option<Purged>,
    pub first: Option<u64>,
    pub last: Option<LogPosition>,
}

impl LogBounds {
    /// The lowest index that was not purged.
    pub(crate) fn floor(&self) -> u64 {
        self.purged.as_ref().map_or(0, |purged| purged.index.saturating_add(1))
    }

    /// The index of the entry that comes next; any may come first where there is neither an entry nor a purge marker.
    pub(crate) fn next(&self) -> Option<u64> {
        match (self.last, &self.purged) {
            (Some(last), _) => Some(last.index.saturating_add(1)),
            (None, Some(_)) => Some(self.floor()),
            (None, None) => None,
        }
    }

    /// Whether `entries` continue the log, and from where they replace its end if they overlap it.
    ///
    /// A log with neither entries nor a purge marker may start anywhere: a replica that begins from a snapshot gets
    /// its marker only afterwards.
    pub(crate) fn admit(&self, entries: &[LogEntry]) -> Result<Option<u64>, StorageError> {
        let Some(begin) = entries.first().map(|entry| entry.index) else { return Ok(None) };
        let lowest = self.first.unwrap_or_else(|| self.floor());
        if let Some(next) = self.next()
            && (begin < lowest || begin > next)
        {
            return Err(StorageError::OutOfOrder { expected: next, found: begin });
        }
        for (expected, entry) in (begin..=u64::MAX).zip(entries) {
            if entry.index != expected {
                return Err(StorageError::OutOfOrder { expected, found: entry.index });
            }
        }
        Ok(self.last.filter(|last| begin <= last.index).map(|_| begin))
    }

    pub(crate) fn appended(&mut self, entries: &[LogEntry]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        self.first.get_or_insert(first.index);
        self.last = Some(LogPosition { index: last.index, term: last.term });
    }

    /// `last` is what now ends the log, `None` when nothing is left.
    pub(crate) fn truncated(&mut self, last: Option<LogPosition>) {
        self.last = last;
        if last.is_none() {
            self.first = None;
        }
    }

    pub(crate) fn purged_to(&mut self, purged: Purged) {
        let floor = purged.index.saturating_add(1);
        self.purged = Some(purged);
        if self.last.is_some_and(|last| last.index >= floor) {
            self.first = self.first.map(|first| first.max(floor));
        } else {
            self.truncated(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(indexes: impl IntoIterator<Item = u64>) -> Vec<LogEntry> {
        indexes.into_iter().map(|index| LogEntry { index, term: 1, bytes: Vec::new() }).collect()
    }

    fn holding(first: u64, last: u64) -> LogBounds {
        LogBounds { purged: None, first: Some(first), last: Some(LogPosition { index: last, term: 1 }) }
    }

    #[test]
    fn an_empty_log_may_start_anywhere() {
        assert_eq!(LogBounds::default().admit(&entries([5, 6])), Ok(None));
    }

    #[test]
    fn a_hole_is_refused() {
        assert_eq!(holding(1, 4).admit(&entries([6])), Err(StorageError::OutOfOrder { expected: 5, found: 6 }));
        assert_eq!(holding(1, 4).admit(&entries([5, 7])), Err(StorageError::OutOfOrder { expected: 6, found: 7 }));
        assert_eq!(holding(1, 4).admit(&entries([0])), Err(StorageError::OutOfOrder { expected: 5, found: 0 }));
    }

    #[test]
    fn an_overlap_replaces_the_end() {
        assert_eq!(holding(1, 4).admit(&entries([3, 4, 5])), Ok(Some(3)));
        assert_eq!(holding(1, 4).admit(&entries([5])), Ok(None));
    }

    #[test]
    fn nothing_is_written_below_the_purge_marker() {
        let mut bounds = holding(1, 4);
        bounds.purged_to(Purged { index: 9, id: Vec::new() });
        assert_eq!((bounds.first, bounds.last), (None, None));
        assert_eq!(bounds.admit(&entries([9])), Err(StorageError::OutOfOrder { expected: 10, found: 9 }));
        assert_eq!(bounds.admit(&entries([10])), Ok(None));
    }

    #[test]
    fn purging_keeps_what_is_above() {
        let mut bounds = holding(1, 4);
        bounds.purged_to(Purged { index: 2, id: Vec::new() });
        assert_eq!((bounds.first, bounds.last.map(|last| last.index)), (Some(3), Some(4)));
    }
}
