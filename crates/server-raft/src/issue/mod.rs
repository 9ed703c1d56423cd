//! Issuing: from an authorized wish to a signed SVID.
//!
//! ```text
//!   service ── Issuer ── this replica leads? ── yes ──▶ Signer: fence, sign, fence again, release
//!                  │                └── no ──▶ batch ──▶ peer channel ──▶ the leader's Signer
//!                  └─ keys: opened once per authority from the replicated, sealed record
//! ```
//!
//! Whoever signs applies its own credential composers.
//!
//! Nothing is written to the log when an SVID is issued. The signer chooses authority, serial and dates; everything
//! else was decided by the replica that authorized the request.

mod issuer;
mod keys;
mod maker;
mod signer;
mod wire;

pub use issuer::{
    AgentClaim, IssueFailure, IssuedToken, IssuedX509, Issuer, WorkloadSvid, agent_svid, claimed, downstream_ca,
    jwt_svid, wit_svid, workload_svid,
};
pub use keys::{AuthorityKeys, KeysError, TokenIssuers};
pub use maker::{AuthorityMaker, Made, MakeError};
pub use signer::{Profile, Signer};
