//! Registration entries: who may have which identity (`spire.api.types.Entry`).

use crate::{SelectorSet, SpiffeId, TrustDomain};

/// A stored registration entry. Validation of what clients send is `state`'s, so that every replica agrees on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub spiffe_id: SpiffeId,
    pub parent_id: SpiffeId,
    pub selectors: SelectorSet,
    /// Seconds; 0 means the server's default.
    pub x509_svid_ttl: i32,
    /// Seconds; 0 means the server's default.
    pub jwt_svid_ttl: i32,
    /// Sorted, without duplicates.
    pub federates_with: Vec<TrustDomain>,
    pub admin: bool,
    pub downstream: bool,
    /// Unix seconds; 0 means never.
    pub expires_at: i64,
    /// In the order given: the first becomes the certificate's common name.
    pub dns_names: Vec<String>,
    /// 0 when created, raised by one at each update.
    pub revision: i64,
    pub store_svid: bool,
    pub hint: String,
    /// Unix seconds, set once.
    pub created_at: i64,
    pub disable_x509_svid_prefetch: bool,
    pub jwt_svid_include_jti: bool,
}
