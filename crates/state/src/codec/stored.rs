//! Outcomes as they are kept for retries: created entries are left out, because the retried command holds them.

use std::sync::Arc;

use steeple_core::Entry;

use super::frame::{framed, unframed};
use super::{DecodeError, v1};
use crate::{EntryCreation, Outcome, Rejection};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StoredOutcome {
    Creations(Vec<StoredCreation>),
    Whole(Outcome),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StoredCreation {
    Created,
    AlreadyExists(Arc<Entry>),
    Rejected(Rejection),
}

impl StoredOutcome {
    pub(crate) fn compact(outcome: &Outcome) -> Self {
        let Outcome::EntriesCreated(results) = outcome else { return Self::Whole(outcome.clone()) };
        let creations = results.iter().map(|result| match result {
            EntryCreation::Created(_) => StoredCreation::Created,
            EntryCreation::AlreadyExists(existing) => StoredCreation::AlreadyExists(existing.clone()),
            EntryCreation::Rejected(rejection) => StoredCreation::Rejected(rejection.clone()),
        });
        Self::Creations(creations.collect())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        framed(&v1::StoredOutcome::from(self))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        unframed::<v1::StoredOutcome>(bytes)?.try_into()
    }
}
