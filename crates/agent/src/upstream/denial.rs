//! What an agent does about a status that a server gave it.

use std::error::Error as _;
use std::time::Duration;

use steeple_api::status::{denial_reason, retry_delay};
use steeple_api::types::permission_denied_details::Reason;
use steeple_cli::rpc_error;
use steeple_transport::tls::VerifyError;
use tonic::{Code, Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// This replica cannot serve now: another one may.
    TryAnother,
    /// Forget the SVID and end (SPIRE behaviour).
    Banned,
    /// Attest anew.
    Reattest,
    /// No root of ours signed the server's certificate.
    UnknownAuthority,
    /// An ordinary failure: back off.
    Retry,
}

/// Reasons in the details of a PermissionDenied decide; without details it is an ordinary failure.
pub fn reaction(status: &Status) -> Reaction {
    match denial_reason(status) {
        Some(Reason::AgentBanned) => return Reaction::Banned,
        Some(Reason::AgentExpired | Reason::AgentNotAttested | Reason::AgentNotActive | Reason::AgentMustReattest) => {
            return Reaction::Reattest;
        }
        Some(Reason::Unknown) | None => {}
    }
    if status
        .source()
        .and_then(VerifyError::find)
        .is_some_and(|error| matches!(error, VerifyError::UnknownAuthority(_)))
    {
        return Reaction::UnknownAuthority;
    }
    match status.code() {
        Code::Unavailable => Reaction::TryAnother,
        _ => Reaction::Retry,
    }
}

/// The pause before the next attempt: a server that has too much to do is not asked again before it said.
pub fn pause_as_told(own: Duration, status: Option<&Status>) -> Duration {
    status.and_then(retry_delay).map_or(own, |told| own.max(told))
}

/// A status for people: why a certificate was refused, where that is the reason, else in grpc-go's form.
pub fn explained(status: &Status) -> String {
    match status.source().and_then(VerifyError::find) {
        Some(refused) => refused.to_string(),
        None => rpc_error(status).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use steeple_api::status::{RETRY_DELAY_MAX, permission_denied, resource_exhausted_for};

    use super::*;

    #[test]
    fn reasons_decide() {
        let cases = [
            (permission_denied("no", Reason::AgentBanned), Reaction::Banned),
            (permission_denied("no", Reason::AgentExpired), Reaction::Reattest),
            (permission_denied("no", Reason::AgentNotAttested), Reaction::Reattest),
            (permission_denied("no", Reason::AgentNotActive), Reaction::Reattest),
            (permission_denied("no", Reason::AgentMustReattest), Reaction::Reattest),
            (Status::permission_denied("no"), Reaction::Retry),
            (Status::unavailable("election"), Reaction::TryAnother),
            (Status::internal("x"), Reaction::Retry),
        ];
        for (status, expected) in cases {
            assert_eq!(reaction(&status), expected, "{status}");
        }
    }

    #[test]
    fn a_server_that_says_when_to_come_back_is_not_asked_before() {
        let told = |secs| resource_exhausted_for("full", Duration::from_secs(secs));
        let pause = |status: Option<&Status>| pause_as_told(Duration::from_secs(5), status);
        assert_eq!(pause(Some(&told(20))), Duration::from_secs(20));
        assert_eq!(pause(Some(&told(1))), Duration::from_secs(5), "it has its own reasons to wait");
        assert_eq!(pause(Some(&told(u64::MAX))), RETRY_DELAY_MAX);
        for other in [Some(Status::resource_exhausted("rate")), None] {
            assert_eq!(pause(other.as_ref()), Duration::from_secs(5));
        }
        assert_eq!(reaction(&told(20)), Reaction::Retry);
    }
}
