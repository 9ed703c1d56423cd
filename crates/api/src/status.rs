//! Statuses: of RPCs, of the items of a batch, and the details by which agents learn why they were refused.

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
    let message = message.into();
    let details = rpc::Status {
        code: Code::PermissionDenied as i32,
        message: message.clone(),
        details: vec![any::pack(&PermissionDeniedDetails { reason: reason as i32 })],
    };
    tonic::Status::with_details(Code::PermissionDenied, message, details.encode_to_vec().into())
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
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let denial = details.iter().find(|detail| any::names::<PermissionDeniedDetails>(&detail.type_url))?;
    Some(PermissionDeniedDetails::decode(denial.value.as_slice()).ok()?.reason())
}

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
