//! `steeple.agent.v1.Push`: an agent's set, kept current over one stream.
//!
//! ```text
//!   applied entries ── events ──▶ Subscribers ── whom it concerns ──▶ Session (one per stream)
//!                                     │                                  │  checks the agent before each message
//!                                     └── Visible, shared by agents ──▶──┤  last set sent ── difference ──▶ Change
//!                                         that see the same              └─ Issue ──▶ SvidService ──▶ Issued
//! ```
//!
//! A session remembers the set that it sent last and computes the next change when the stream is writable: a slow agent
//! gets fewer and larger changes, and nothing queues up for it. Changes between two sets are encoded once.

mod changes;
mod codec;
mod held;
mod issue;
mod propagation;
mod server;
mod session;
mod subscribers;
mod visible;

pub use server::PushServer;
pub use subscribers::Subscribers;

/// `/package.Service/Method`.
const METHOD: &str = "/steeple.agent.v1.Push/Sync";
