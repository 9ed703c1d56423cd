//! What an error means to a client.

use std::error::Error as _;

use steeple_transport::client::is_unprocessed;
use tonic::{Code, Status};

use super::history::Answer;

/// The answer to a read or a signing, which leaves nothing behind when it fails.
pub(super) fn of_failed_read(status: &Status) -> Answer {
    match meaning(status) {
        Meaning::NotDone | Meaning::Open => Answer::Refused { code: shown(status) },
        Meaning::Defect => wrong(status),
    }
}

/// The answer to a write. A server says `Unavailable` both for what it did not do and for what it cannot know.
pub(super) fn of_failed_write(status: &Status) -> Answer {
    match meaning(status) {
        Meaning::NotDone => Answer::Refused { code: shown(status) },
        Meaning::Open => Answer::Unknown { code: shown(status) },
        Meaning::Defect => wrong(status),
    }
}

enum Meaning {
    NotDone,
    Open,
    /// A server that looks for a leader has no reason to say this.
    Defect,
}

fn meaning(status: &Status) -> Meaning {
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

fn wrong(status: &Status) -> Answer {
    Answer::Wrong { reason: format!("{}: {}", shown(status), status.message()) }
}

fn shown(status: &Status) -> String {
    format!("{:?}", status.code())
}
