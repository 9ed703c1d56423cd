//! What can be done to replicas and to what lies between them, whoever decides to do it.
//!
//! ```text
//!   network ── relay ── link    TCP between replicas: cut, slow, lossy, for each direction of each pair
//!   sync_log                    a library before libc: syncs that are noted, slow or failing. One that makes the wall
//!                               clock wrong is the testkit's
//!   store                       what a defect leaves in it
//!   apart ─┬─ volume            a small file system under a data directory
//!          └─ namespaces        a network namespace for each replica, with a cable that can be unplugged
//! ```

mod apart;
mod link;
mod namespaces;
mod network;
mod relay;
mod store;
mod sync_log;
mod volume;

pub use apart::set_apart;
pub(crate) use link::Link;
pub(crate) use namespaces::Namespaces;
pub(crate) use network::Network;
pub(crate) use store::lose_an_entry;
pub(crate) use sync_log::SyncLog;
pub(crate) use volume::Volume;
