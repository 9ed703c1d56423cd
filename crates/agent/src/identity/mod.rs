//! The agent's own identity: from the first attestation through renewals to a ban.
//!
//! ```text
//!   start ── SVID and key on disk, still valid? ── yes ──▶ hold
//!                      └── no ──▶ attest ──▶ hold ── half-life ──▶ renew, or attest again ──▶ hold
//!   a server's refusal: banned ──▶ forget and end;   expired, unknown, replaced ──▶ attest again
//!   a server that no root vouches for ──▶ end, or after a delay bootstrap and attest anew
//! ```

mod attest;
mod counted_keys;
mod driver;
mod held;
mod rebootstrap;
mod renew;

pub use attest::{AttestFailure, attest};
pub use counted_keys::CountedKeys;
pub use driver::{Ended, IdentityDriver, IdentityParts, Met, Started, Trouble};
pub use held::{AgentSvid, IdentityError, KEY_IDS};
pub use rebootstrap::{Distrust, NotRepeatable, Rebootstrap};
