//! The push stream (`steeple.agent.v1`): servers of ours say what changed, and nobody polls.
//!
//! ```text
//!   PushDriver ── opens, leaves, opens again ──▶ Stream ── Assembly ── verified ──▶ Arrivals ──▶ cache
//!                                                  ▲
//!                                     PushSession ─┘   Issue for the minter, Ack for the reporter
//! ```
//!
//! While no stream is up the sync loop polls as SPIRE's agents do. A server that does not know the stream is asked
//! again now and then, and another server at once.

mod assembly;
mod driver;
mod session;
mod stream;

pub use driver::PushDriver;
pub use session::{PushSession, Sessions};
