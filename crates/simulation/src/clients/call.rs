//! One call and what its answer means.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use tonic::{Code, Status};

/// As far as the caller can know.
#[derive(Debug)]
pub enum Answer<T> {
    Done(T),
    /// It had no effect.
    Refused(Status),
    /// It may have had one, or may yet.
    Unknown,
}

/// Waits for an answer, as long as a patient caller does.
pub async fn answered<T>(call: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Answer<T> {
    match timeout(PATIENCE, call).await {
        Ok(Ok(response)) => Answer::Done(response.into_inner()),
        Ok(Err(status)) if is_certain(status.code()) => Answer::Refused(status),
        Ok(Err(_)) | Err(_) => Answer::Unknown,
    }
}

/// Whether a call that ended so had no effect.
pub fn is_certain(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::ResourceExhausted
            | Code::Unimplemented
    )
}

const PATIENCE: Duration = Duration::from_secs(8);
