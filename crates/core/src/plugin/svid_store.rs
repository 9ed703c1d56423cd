//! Where X.509-SVIDs are put for workloads that cannot ask the agent for them.

use std::fmt;

use super::BoxFuture;
use crate::{Bundle, Secret, SpiffeId, Timestamp};

/// Any number of these. An entry with `store_svid` names one by the type of its selectors, and by their values where in
/// the store its SVID goes.
pub trait SvidStore: Send + Sync {
    /// As in the configuration, for instance `directory`; the type of the selectors.
    fn name(&self) -> &str;

    /// The place that the values of an entry's selectors name, in one spelling: entries with the same place are in each
    /// other's way. Looks at nothing but the values.
    fn place(&self, values: &[String]) -> Result<StorePlace, StoreError>;

    /// Puts `svid` where `values` say, whole or not at all, in place of what is there. Doing it again does no harm.
    fn put<'a>(&'a self, values: &'a [String], svid: StoredSvid<'a>) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Removes what was put there. Nothing to remove is a success.
    fn delete<'a>(&'a self, place: &'a StorePlace) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The places that an earlier life of this agent filled, as far as the store can tell.
    fn kept(&self) -> BoxFuture<'_, Result<Vec<StorePlace>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// One place of a store, as the store itself names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePlace(pub Vec<String>);

/// What a workload needs to be somebody and to know others.
#[derive(Clone, Copy, Debug)]
pub struct StoredSvid<'a> {
    pub spiffe_id: &'a SpiffeId,
    /// Of the certificate.
    pub expires_at: Timestamp,
    /// DER, leaf first, root left out.
    pub chain: &'a [Vec<u8>],
    /// PKCS#8 DER.
    pub key: &'a Secret,
    /// Of the own trust domain.
    pub bundle: &'a Bundle,
    /// Of the trust domains that the entry federates with, as far as they are known.
    pub federated: &'a [&'a Bundle],
}

/// Why a store is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The values of the selectors are of no use: the entry has to be changed.
    #[error("{0}")]
    Selectors(String),
    /// The next attempt may succeed.
    #[error("{0}")]
    Failed(String),
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}
