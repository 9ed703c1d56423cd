//! What an error means to a client that keeps a history.

use std::error::Error as _;

use steeple_transport::client::is_unprocessed;
use tonic::{Code, Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    NotDone,
    /// It may or may not have been done, or may still be.
    Open,
    /// A server that looks for a leader has no reason to say this.
    Defect,
}

/// A server says `Unavailable` both for what it did not do and for what it cannot know.
pub(crate) fn meaning(status: &Status) -> Meaning {
    if is_unprocessed(status) {
        return Meaning::NotDone;
    }
    // With a source it was made on our side, of a connection that broke.
    match status.code() {
        _ if status.source().is_some() => Meaning::Open,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Meaning::Open,
        Code::ResourceExhausted => Meaning::NotDone,
        _ => Meaning::Defect,
    }
}

pub(crate) fn shown(status: &Status) -> String {
    format!("{:?}", status.code())
}
