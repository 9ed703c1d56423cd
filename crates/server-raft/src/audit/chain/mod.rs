//! The chain of audit records: pure functions over lines.
//!
//! ```text
//!   {"time":...,"chain":{"node":1,"epoch":E,"sequence":7,"index":I,"term":T,"previous":"<hash of record 6>"},
//!    <SPIRE's fields>,"hash":"<SHA-256 of this line up to here>"}
//!
//!   head.append(stamp, fields) ──► line      record.rs
//!   line ──► Record                          record.rs
//!   tail of a file + anchor ──► Resume       resume.rs: how a server that starts goes on
//!   ends of all files ──► what is missing     gap.rs
//!   lines + anchors ──► Report               verify.rs
//! ```
//!
//! A line is hashed as its bytes are, so that nobody has to agree on how JSON is written. Its own hash tells a changed
//! line from a missing one; the hash of the line before makes a chain of them.

mod event;
mod gap;
mod record;
mod resume;
mod verify;

pub use event::{Event, Torn};
pub use gap::{Span, gap};
pub use record::{Fault, Hash, Head, LINE_BYTES_MAX, Record, Stamp, bounded};
pub use resume::{Resume, Tail, resume};
pub use verify::{Break, ChainSeen, Report, Verifier};
