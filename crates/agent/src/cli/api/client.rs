//! Calls of the Workload API, each within its time.

use std::future::Future;
use std::time::Duration;

use steeple_cli::Values;
use tonic::Status;

/// `-timeout`, or `None` for 0 and below, which means no limit.
pub(super) fn time_limit(values: &Values) -> Option<Duration> {
    values.duration("timeout").to_std().filter(|limit| !limit.is_zero())
}

/// Fails as grpc-go fails when the time is up.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match limit {
        None => call.await,
        Some(limit) => {
            let late = |_| Err(Status::deadline_exceeded("context deadline exceeded"));
            tokio::time::timeout(limit, call).await.unwrap_or_else(late)
        }
    }
}
