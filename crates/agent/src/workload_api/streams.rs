//! A workload's stream: the first message when everything is there, then one for every change that it can see.

use std::sync::Arc;

use steeple_core::Bundle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument;

use crate::cache::{Cache, Readiness, Views, WorkloadView};

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

/// All bundles that the agent knows, at once and whenever they change. `check` comes before every message.
pub fn follow_bundles<T: Clone + PartialEq + Send + Sync + 'static>(
    cache: Arc<Cache>,
    check: impl Fn() -> Result<(), Status> + Send + 'static,
    encode: impl Fn(&[Arc<Bundle>]) -> Result<T, Status> + Send + 'static,
) -> Messages<T> {
    let (sender, messages) = mpsc::channel(MESSAGES_WAITING_MAX);
    let mut changes = cache.changes();
    let following = async move {
        let mut previous = None;
        loop {
            changes.mark_unchanged();
            let message = encode(&cache.bundles());
            if previous.as_ref() != message.as_ref().ok() || message.is_err() {
                let message = check().and(message);
                previous = message.as_ref().ok().cloned();
                if sender.send(message).await.is_err() || previous.is_none() {
                    return;
                }
            }
            tokio::select! {
                () = sender.closed() => return,
                // The sender lives in the cache that this task holds: this cannot fail.
                _ = changes.changed() => {}
            }
        }
    };
    tokio::spawn(following.in_current_span());
    Box::pin(ReceiverStream::new(messages))
}

pub fn no_identity() -> Status {
    Status::permission_denied("no identity issued")
}
