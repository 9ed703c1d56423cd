//! Statuses: of RPCs, of the items of a batch, and the details by which clients learn why they were refused, and when
//! they may try again.

use std::time::Duration;

use prost::Message;
use tonic::Code;

use crate::types::PermissionDeniedDetails;
use crate::types::permission_denied_details::Reason;
use crate::{any, rpc, types};

/// The status of one item of a batch.
pub fn status_of(code: Code, message: impl Into<String>) -> types::Status {
    types::Status { code: code as i32, message: message.into() }
}

/// The status of an item that went well. Stock agents read it without checking that it is there.
pub fn ok() -> types::Status {
    status_of(Code::Ok, "OK")
}

/// A refusal that tells an agent what to do about it, as `google.rpc.Status` in `grpc-status-details-bin`.
pub fn permission_denied(message: impl Into<String>, reason: Reason) -> tonic::Status {
    with_detail(Code::PermissionDenied, message.into(), &PermissionDeniedDetails { reason: reason as i32 })
}

/// A refusal of which nothing took effect: the same call may succeed after `delay`, as `google.rpc.RetryInfo` in
/// `grpc-status-details-bin`.
pub fn resource_exhausted_for(message: impl Into<String>, delay: Duration) -> tonic::Status {
    let retry_delay = prost_types::Duration::try_from(delay.min(RETRY_DELAY_MAX)).ok();
    with_detail(Code::ResourceExhausted, message.into(), &rpc::RetryInfo { retry_delay })
}

fn with_detail<M: prost::Name>(code: Code, message: String, detail: &M) -> tonic::Status {
    let status = rpc::Status { code: code as i32, message: message.clone(), details: vec![any::pack(detail)] };
    tonic::Status::with_details(code, message, status.encode_to_vec().into())
}

/// The answer to a caller that may not call `method`, a path such as `/spire.api.server.entry.v1.Entry/GetEntry`.
pub fn authorization_denied(method: &str, reason: Option<Reason>) -> tonic::Status {
    let message = format!("authorization denied for method {method}");
    match reason {
        Some(reason) => permission_denied(message, reason),
        None => tonic::Status::permission_denied(message),
    }
}

/// Why a server refused an agent; `None` for an ordinary failure. A reason that this version does not know is
/// [`Reason::Unknown`].
pub fn denial_reason(status: &tonic::Status) -> Option<Reason> {
    if status.code() != Code::PermissionDenied {
        return None;
    }
    Some(detail::<PermissionDeniedDetails>(status)?.reason())
}

/// How long to wait before the same call, as the server says: at most [`RETRY_DELAY_MAX`]. `None` where it does not say
/// so, as for every refusal that SPIRE knows.
pub fn retry_delay(status: &tonic::Status) -> Option<Duration> {
    let delay = detail::<rpc::RetryInfo>(status)?.retry_delay?;
    Some(Duration::try_from(delay).ok()?.min(RETRY_DELAY_MAX))
}

fn detail<M: prost::Name + Default>(status: &tonic::Status) -> Option<M> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let found = details.iter().find(|detail| any::names::<M>(&detail.type_url))?;
    M::decode(found.value.as_slice()).ok()
}

/// A server that says an hour, by mistake or not, must not be the end of a client.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_arrives() {
        for reason in [Reason::AgentExpired, Reason::AgentBanned, Reason::AgentMustReattest] {
            let status = authorization_denied("/x.Y/Z", Some(reason));
            assert_eq!(status.message(), "authorization denied for method /x.Y/Z");
            assert_eq!(denial_reason(&status), Some(reason));
        }
    }

    #[test]
    fn the_details_are_what_go_reads() {
        let status = permission_denied("no", Reason::AgentBanned);
        let details = rpc::Status::decode(status.details()).unwrap();
        assert_eq!((details.code, details.message.as_str()), (7, "no"));
        assert_eq!(details.details[0].type_url, "type.googleapis.com/spire.api.types.PermissionDeniedDetails");
        assert_eq!(details.details[0].value, [0x08, 4]);
    }

    #[test]
    fn when_to_try_again_arrives_within_a_bound() {
        let status = resource_exhausted_for("full", Duration::from_millis(1500));
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "full"));
        assert_eq!(retry_delay(&status), Some(Duration::from_millis(1500)));
        let details = rpc::Status::decode(status.details()).unwrap();
        assert_eq!((details.code, details.message.as_str()), (8, "full"));
        assert_eq!(details.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
        // Duration { seconds: 1, nanos: 500000000 } in field 1.
        assert_eq!(details.details[0].value, hex::decode("0a0808011080cab5ee01").unwrap());
        assert_eq!(denial_reason(&status), None);
        let year = rpc::RetryInfo { retry_delay: Some(prost_types::Duration { seconds: 31_536_000, nanos: 0 }) };
        for long in [with_detail(Code::Unavailable, String::new(), &year), resource_exhausted_for("", Duration::MAX)] {
            assert_eq!(retry_delay(&long), Some(RETRY_DELAY_MAX));
        }
    }

    #[test]
    fn a_delay_that_is_none_is_not_waited_for() {
        let negative = rpc::RetryInfo { retry_delay: Some(prost_types::Duration { seconds: -5, nanos: 0 }) };
        for detail in [negative, rpc::RetryInfo::default()] {
            assert_eq!(retry_delay(&with_detail(Code::ResourceExhausted, String::new(), &detail)), None);
        }
        let nonsense = tonic::Status::with_details(Code::ResourceExhausted, "no", vec![0xff].into());
        for status in [tonic::Status::resource_exhausted("slow down"), nonsense] {
            assert_eq!(retry_delay(&status), None);
        }
    }

    #[test]
    fn other_statuses_have_no_reason() {
        assert_eq!(denial_reason(&authorization_denied("/x.Y/Z", None)), None);
        assert_eq!(denial_reason(&tonic::Status::unavailable("later")), None);
        let nonsense = tonic::Status::with_details(Code::PermissionDenied, "no", vec![0xff].into());
        assert_eq!(denial_reason(&nonsense), None);
    }

    #[test]
    fn a_reason_of_a_later_version_is_unknown() {
        let details =
            rpc::Status { details: vec![any::pack(&PermissionDeniedDetails { reason: 99 })], ..Default::default() };
        let status = tonic::Status::with_details(Code::PermissionDenied, "no", details.encode_to_vec().into());
        assert_eq!(denial_reason(&status), Some(Reason::Unknown));
    }
}
