//! From what the replica and the state say to gRPC statuses: the one place where that is decided.

use steeple_api::{status, types};
use steeple_core::TrustDomain;
use steeple_state::{Code as StateCode, Rejection};
use tonic::{Code, Status};

use crate::authz::Authorized;
use crate::call_log;
use crate::raft::{Busy, ProposeError, ReadError};

pub fn of_propose(error: &ProposeError) -> Status {
    let code = match error {
        ProposeError::NoLeader { .. }
        | ProposeError::Timeout { .. }
        | ProposeError::ClockSkew { .. }
        | ProposeError::Sealed(_)
        | ProposeError::Stopped { .. } => Code::Unavailable,
        // Nothing was written, and the queue is worked off soon.
        ProposeError::Overloaded { retry_after, .. } => {
            return status::resource_exhausted_for(error.to_string(), *retry_after);
        }
        // Only a person makes room.
        ProposeError::NoSpace { .. } => Code::ResourceExhausted,
        ProposeError::TooLarge { .. } => Code::InvalidArgument,
        ProposeError::NotFinalized { .. } => Code::FailedPrecondition,
    };
    Status::new(code, error.to_string())
}

pub fn of_busy(busy: Busy) -> Status {
    status::resource_exhausted_for(busy.to_string(), busy.retry_after)
}

pub fn of_read(error: &ReadError) -> Status {
    Status::unavailable(error.to_string())
}

pub fn of_rejection(why: &Rejection) -> Status {
    Status::new(code(why.code), why.message.clone())
}

/// The status of one item of a batch, which the log tells of.
pub fn item(why: &Rejection) -> types::Status {
    item_of(code(why.code), why.message.clone())
}

/// As [`item`].
pub fn item_of(code: Code, message: impl Into<String>) -> types::Status {
    let status = status::status_of(code, message);
    call_log::refused(code, &status.message);
    status
}

/// Whether the caller may change what is kept of `trust_domain`, as the status of an item.
pub fn may_change(caller: &Authorized, trust_domain: &TrustDomain) -> Result<(), types::Status> {
    let allowed = caller.rights().map_or(Ok(()), |rights| rights.allow_domain(trust_domain));
    allowed.map_err(|denied| item(&denied.into()))
}

pub fn code(code: StateCode) -> Code {
    Code::from(code.number())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_full_queue_says_when_to_come_back_and_a_full_disk_does_not() {
        let retry_after = Duration::from_millis(500);
        let full = of_propose(&ProposeError::Overloaded { queued: 7, retry_after });
        assert_eq!(full.code(), Code::ResourceExhausted);
        assert_eq!(full.message(), "the server has 7 writes waiting, which is its limit; retry after 500ms");
        assert_eq!(status::retry_delay(&full), Some(retry_after));
        let disk = of_propose(&ProposeError::NoSpace { node_id: 1, available_mib: 3 });
        assert_eq!((disk.code(), status::retry_delay(&disk)), (Code::ResourceExhausted, None));
        assert_eq!(status::retry_delay(&of_propose(&ProposeError::Timeout { waited: retry_after })), None);
    }
}
