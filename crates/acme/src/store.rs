//! Where account keys, challenges and certificates are kept.

use std::future::Future;

use steeple_core::{Secret, Timestamp};

use crate::Obtained;

/// One for each listener, or one for all replicas of it.
pub trait Store: Send + Sync {
    /// The key (PKCS#8) of the account with the ACME server whose directory this is; `None` before there is one.
    fn account_key(&self, directory_url: &str) -> impl Future<Output = Result<Option<Secret>, StoreError>> + Send;

    fn keep_account_key(
        &self,
        directory_url: &str,
        key: &Secret,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns once everybody whom the ACME server may reach under `domain` shows `digest`.
    fn show_challenge(&self, domain: &str, digest: [u8; 32]) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn hide_challenge(&self, domain: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Of the certificate that is held; `None` without one that can be shown.
    fn validity(&self, domain: &str) -> Option<Validity>;

    /// Takes the place of an earlier one, and the challenge goes.
    fn keep(&self, obtained: &Obtained) -> impl Future<Output = Result<(), StoreError>> + Send;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// It was not kept, or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);
