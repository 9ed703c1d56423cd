//! A workload's stream: the first message when everything is there, then one for every change that it can see.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument;

use crate::cache::{Readiness, Views, WorkloadView};

pub type Messages<T> = tonic::codegen::BoxStream<T>;

/// What to do when no entry matches the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutIdentity {
    /// PermissionDenied, at the beginning and in the middle.
    Deny,
    /// `encode` makes a message of it: bundles are for everyone (`allow_unauthenticated_verifiers`), and a delegate is
    /// told that a workload has none.
    Serve,
}

/// Messages that wait for a slow workload: it gets the latest state, never a backlog.
const MESSAGES_WAITING_MAX: usize = 1;

/// Streams `encode` of the workload's views. `encode` may return `None` to skip a change that makes no difference.
pub fn follow<T: Send + 'static>(
    mut views: Views,
    without_identity: WithoutIdentity,
    log_without_identity: impl Fn() + Send + 'static,
    mut encode: impl FnMut(&WorkloadView) -> Result<Option<T>, Status> + Send + 'static,
) -> Messages<T> {
    let (sender, messages) = mpsc::channel(MESSAGES_WAITING_MAX);
    let following = async move {
        loop {
            let view = tokio::select! {
                () = sender.closed() => return,
                view = views.next() => view,
            };
            let denied = view.readiness() == Readiness::NoIdentity && without_identity == WithoutIdentity::Deny;
            let message = if denied {
                log_without_identity();
                Err(no_identity())
            } else {
                encode(&view)
            };
            let Some(message) = message.transpose() else { continue };
            let last = message.is_err();
            if sender.send(message).await.is_err() || last {
                return;
            }
        }
    };
    tokio::spawn(following.in_current_span());
    Box::pin(ReceiverStream::new(messages))
}

pub fn no_identity() -> Status {
    Status::permission_denied("no identity issued")
}
