//! The peer port: how the replicas of one cluster know and reach each other.
//!
//! ```text
//!   joiner ── Join (TLS without a client certificate, sealing-key proof) ──┐
//!                                                                          ├─ listener ── guard ── services
//!   member ── Raft, Cluster (mutual TLS under the peer CA) ────────────────┘
//! ```
//!
//! Peers have a certificate authority of their own, kept sealed in the replicated state, so that an outage longer than
//! an SVID's life cannot keep the cluster from forming, and a SPIFFE certificate never opens this port. A certificate
//! binds cluster, node and disk; the guard compares it with the membership it knows, for every call.
//!
//! Private keys that let a peer speak are never stored: whoever can open the keyring makes a new one at each start and
//! certifies it with the peer CA of its own state. Who has no state yet, or an outdated CA, asks a member through
//! `Join`. What is stored is a key whose certificate is good for answering only (`serverAuth`): a replica that starts
//! without its sealing key votes and follows with it, and whoever steals it can call no peer.

mod acknowledgement;
mod authority;
mod credentials;
mod dial;
mod error;
mod guard;
mod id;
mod join;
mod listener;
mod network;
mod pool;
mod progress;
mod proof;
mod rival;
mod sign;
mod survey;
mod verifier;

pub use acknowledgement::{AcknowledgementHandler, MemberAnswer};
pub use authority::{AuthorityError, PeerAuthority, PeerCaContent};
pub use credentials::{CertifiedPeerKey, PeerCredentials};
pub use error::PeerError;
pub use guard::{MemberView, PeerGuard, Standing};
pub(crate) use guard::{certified, is_stranger};
pub use id::{PeerId, PeerIdError};
pub(crate) use join::wrong_key;
pub use join::{JoinAnswer, JoinError, JoinRequest, join};
pub use listener::{ConnectionInfo, PeerListener};
pub use network::{Bound, Connections, PeerNetwork, PeerStream, Stream, Tcp};
pub use pool::{Lane, PeerPool, PeerTarget};
pub use progress::JoinProgress;
pub use proof::{JoinProof, ProofError};
pub use rival::{Rival, clusters_at, rival};
pub use sign::{SIGN_ITEMS_MAX, SignError, SigningHandler};
pub use survey::nobody_serves;

/// A message on the peer port: a log entry of the largest size allowed, twice.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
