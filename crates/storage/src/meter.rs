//! The numbers of a store, for whoever must not keep it open.

use std::sync::Weak;

use crate::storage::{Shared, Storage};
use crate::{Space, Stats};

/// Reads an open store's numbers; it neither keeps the store open nor delays its closing for longer than a reading.
#[derive(Clone)]
pub struct Meter(Weak<Shared>);

impl Meter {
    pub(crate) fn new(shared: Weak<Shared>) -> Self {
        Self(shared)
    }

    /// None once the store is closed.
    pub fn stats(&self) -> Option<Stats> {
        self.storage().map(|storage| storage.stats())
    }

    /// The room on the volume, measured now; none once the store is closed or when it cannot be measured.
    pub fn space(&self) -> Option<Space> {
        self.storage()?.space().ok()
    }

    fn storage(&self) -> Option<Storage> {
        self.0.upgrade().map(Storage::from_shared)
    }
}
