//! The latest changes of entries, for those who follow them (docs/watch.md).
//!
//! ```text
//!   applied entries ── events ──▶ Feed ──▶ History (bounded) ◀── position ── Watch (one per stream)
//!                                                                              │ filter, pieces of bounded size
//!                                                                              ▼ when the client has room
//! ```
//!
//! Nothing queues up for a slow client: it has a position in the history, and when the history has moved on beyond that
//! it is told to list anew.

mod feed;
mod history;
mod watch;

pub use feed::Feed;
pub use history::Gone;
pub use watch::{Piece, Watch};
