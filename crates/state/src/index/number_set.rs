//! Record numbers in order.

/// A sorted vector: most sets hold one number, and new numbers come at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NumberSet(Vec<u64>);

impl NumberSet {
    pub(crate) fn insert(&mut self, number: u64) {
        if let Err(at) = self.0.binary_search(&number) {
            self.0.insert(at, number);
        }
    }

    pub(crate) fn remove(&mut self, number: u64) {
        if let Ok(at) = self.0.binary_search(&number) {
            self.0.remove(at);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// The numbers above `cursor`.
    pub(crate) fn after(&self, cursor: u64) -> &[u64] {
        &self.0[self.0.partition_point(|number| *number <= cursor)..]
    }
}
