//! Consensus: the only folder that names openraft (docs/adr/0001-openraft-line.md).
//!
//! The rest of the server sees a [`Replica`]: one door to write, one to read, and a few watches.
//!
//! ```text
//!   services, drivers
//!        │ propose(kind, origin)            read(mode)
//!        ▼                                      ▼
//!   replica ── propose ── entry of many ──► openraft ──► log_store ───► storage (one flusher)
//!        │       commands      ▲               │
//!        │ forward (once)      │               └──► state_machine ──► storage (one batch per entry)
//!        ▼                     │                        │
//!   peer port of the leader ───┘                        └─► State, applied index, events
//! ```
//!
//! * A write is acknowledged when a quorum has it on disk and this replica has applied it, so whoever wrote through a
//!   follower reads the result on that same follower.
//! * A read says its mode. During an election a linearizable read fails; it is never answered from a short list.
//! * Everything here and on the peer port runs on threads of its own ([`Threads::Own`]), so that load cannot delay a
//!   heartbeat.

mod acknowledgement;
mod admin;
mod admit;
mod append_stream;
mod beginning;
mod change;
mod clock_guard;
mod codec;
mod composers;
mod config;
mod consensus;
mod contact;
mod credentials;
mod disk_pace;
mod error;
mod fence;
mod forward;
mod found;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handler;
mod health;
mod identity;
mod inspect;
mod leadership;
mod load_shed;
mod log_store;
mod members;
mod membership;
mod membership_change;
mod membership_plan;
#[cfg(feature = "models")]
pub mod models;
mod network;
mod peer_ca;
mod peer_ca_rotation;
mod pinger;
mod propose;
mod published;
mod read;
mod recover;
mod refound;
mod remote;
mod removed;
mod replica;
mod room;
mod rpc;
mod runtime;
mod sealing_keys;
mod service;
mod sign;
mod snapshot;
mod stamps;
mod start;
mod state_check;
mod state_lock;
mod state_machine;
mod state_watch;
mod status;
#[cfg(test)]
mod suite;
mod types;
mod wire;

pub use beginning::{Beginning, beginning};
pub use change::Finalized;
pub use config::{CleanUp, Limits, Timing};
pub use error::{Failed, ProposeError, ReadError, StartError};
pub use fence::{Actors, Fence, FenceError};
pub use identity::{begin_founding, has_begun_founding, is_member, may_start_sealed};
pub use inspect::{EntryShown, InspectError, Participant, Position, Survey, log_entries, survey};
pub use leadership::Leadership;
pub use load_shed::{Away, Busy, Place};
pub use membership_change::{Change, MembershipError};
pub use peer_ca::open_keyring;
pub use read::{ReadMode, View};
pub use recover::{PlanError, RecoverError, Recovered, is_quorum, plan as recovery_plan, recover};
pub use refound::{NewCluster, Operator, Reborn, RefoundError, refound, write as write_refounded};
pub use removed::Removed;
pub use replica::{AppliedEvents, Origin, Replica};
pub use runtime::Threads;
pub use sealing_keys::SealingKeyError;
pub use start::{ClusterStart, Start, start};
pub use state_check::Divergence;
pub use state_lock::{SharedState, StateRead};
pub use status::{MemberStatus, Role, Status};
pub use types::NodeId;
