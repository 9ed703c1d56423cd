//! Outcomes of recent requests, so that a retry is answered and not carried out again.

use std::collections::BTreeMap;

use crate::RequestId;
use crate::codec::RequestRow;
use crate::limits::{REQUESTS_BYTES_MAX, REQUESTS_MAX};

/// Bounded by number and bytes; the oldest go first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Requests {
    by_number: BTreeMap<u64, RequestRow>,
    by_id: BTreeMap<RequestId, u64>,
    outcome_bytes: usize,
}

impl Requests {
    pub(crate) fn find(&self, id: &RequestId) -> Option<&RequestRow> {
        self.by_number.get(self.by_id.get(id)?)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// The oldest first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &RequestRow> {
        self.by_number.values()
    }

    pub(crate) fn insert(&mut self, row: RequestRow) {
        self.outcome_bytes += row.outcome.len();
        self.by_id.insert(row.id, row.number);
        self.by_number.insert(row.number, row);
    }

    /// Takes out the oldest outcome while there are too many; the newest always stays.
    pub(crate) fn pop_surplus(&mut self) -> Option<RequestRow> {
        let surplus = self.by_number.len() > REQUESTS_MAX || self.outcome_bytes > REQUESTS_BYTES_MAX;
        if !surplus || self.by_number.len() <= 1 {
            return None;
        }
        let (_, row) = self.by_number.pop_first()?;
        self.by_id.remove(&row.id);
        self.outcome_bytes -= row.outcome.len();
        Some(row)
    }
}
