//! What an error means to a client.

use tonic::Status;

use super::history::Answer;
use crate::meaning::{Meaning, meaning, shown};

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

fn wrong(status: &Status) -> Answer {
    Answer::Wrong { reason: format!("{}: {}", shown(status), status.message()) }
}
