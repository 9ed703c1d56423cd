//! The bodies, by where their bytes come from.

pub mod configuration;
pub mod disk;
pub mod frames;
pub mod identity;
pub mod keys;
pub mod messages;
pub mod nodes;
pub mod raft;
pub mod sds;
pub mod state;
pub mod tpm;
pub mod workloads;

mod issued;
mod message_kinds;

/// Text, or nothing where a parser takes nothing else.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
