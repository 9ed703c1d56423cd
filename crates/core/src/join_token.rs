//! One-time tokens for `join_token` node attestation.

#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// In the log and in the store its digest may stand for it.
    pub value: String,
    /// Unix seconds.
    pub expires_at: i64,
}

/// The value is a credential until it is used, so it is never printed.
impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JoinToken(expires_at {})", self.expires_at)
    }
}
