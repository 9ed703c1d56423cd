//! The log on its way to a follower: entries follow one another on one stream, without waiting until the follower's
//! disk holds the ones before. Answers come in the order of the requests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use openraft::errors::{RPCError, Timeout};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use openraft::{OptionalSend, RPCTypes};
use parking_lot::Mutex;
use steeple_api::steeple::peer as pb;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::network::{PeerClient, malformed, within};
use super::types::TypeConfig;
use super::wire;

pub(super) type Answers<'s> = BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>;

/// A request is answered when the peer's disk holds its entries. openraft offers the heartbeat interval for that, which
/// a slow disk exceeds on every attempt; a peer that is gone is noticed by its heartbeats, on their own connection.
const APPEND_TIMEOUT: Duration = Duration::from_secs(2);
/// Requests without an answer, usually of a few KiB: enough to keep the follower's disk busy while an answer travels,
/// few enough to be held in memory where each carries the 8 MiB that one may have.
const UNANSWERED_MAX: usize = 8;

/// Requests on their way, oldest first, by when they were sent.
struct Unanswered {
    sent: Mutex<VecDeque<Instant>>,
    room: Semaphore,
}

impl Unanswered {
    fn new() -> Self {
        Self { sent: Mutex::default(), room: Semaphore::new(UNANSWERED_MAX) }
    }

    fn sent(&self) {
        self.sent.lock().push_back(Instant::now());
    }

    fn answered(&self) {
        self.sent.lock().pop_front();
        self.room.add_permits(1);
    }

    /// When to ask again whether the peer takes too long. A request that is sent while nothing is on its way is
    /// counted from the look before it.
    fn next_look(&self) -> Instant {
        self.sent.lock().front().copied().unwrap_or_else(Instant::now) + APPEND_TIMEOUT
    }

    fn is_late(&self) -> bool {
        self.sent.lock().front().is_some_and(|sent| sent.elapsed() >= APPEND_TIMEOUT)
    }
}

/// Sends `requests` as they come. The stream of answers ends with the first one that is no success.
pub(super) async fn open<S>(client: &PeerClient, requests: S) -> Result<Answers<'_>, RPCError<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
{
    // openraft paces its attempts by the first request, so nothing is dialled before it comes.
    let mut requests = requests;
    let Some(first) = requests.next().await else { return Ok(stream::empty().boxed()) };
    let requests = stream::iter([first]).chain(requests);
    let unanswered = Arc::new(Unanswered::new());
    let mut raft = client.raft()?;
    let opened = within(APPEND_TIMEOUT, raft.stream_append(outgoing(requests, Arc::clone(&unanswered)))).await;
    let answers = opened.map_err(|status| client.failure(&status, RPCTypes::AppendEntries, APPEND_TIMEOUT))?;
    let answers = stream::unfold(Some(answers), move |answers| {
        let unanswered = Arc::clone(&unanswered);
        async move {
            let mut answers = answers?;
            let answer = next_answer(client, &mut answers, &unanswered).await?;
            let more = matches!(answer, Ok(Ok(_))).then_some(answers);
            Some((answer, more))
        }
    });
    Ok(Box::pin(answers))
}

fn outgoing<S>(
    requests: S,
    unanswered: Arc<Unanswered>,
) -> impl Stream<Item = pb::AppendEntriesRequest> + Send + 'static
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
{
    stream::unfold((requests, unanswered), |(mut requests, unanswered)| async move {
        // Given back by the answer. The semaphore is never closed.
        unanswered.room.acquire().await.ok()?.forget();
        let request = requests.next().await?;
        unanswered.sent();
        Some((wire::append_request_to_pb(&request), (requests, unanswered)))
    })
}

async fn next_answer(
    client: &PeerClient,
    answers: &mut tonic::Streaming<pb::StreamAppendResponse>,
    unanswered: &Unanswered,
) -> Option<Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>> {
    loop {
        let action = RPCTypes::AppendEntries;
        match tokio::time::timeout_at(unanswered.next_look(), answers.message()).await {
            Ok(Ok(Some(answer))) => {
                unanswered.answered();
                return Some(wire::stream_append_from_pb(answer).map_err(|error| malformed(&error)));
            }
            Ok(Ok(None)) => return None,
            Ok(Err(status)) => return Some(Err(client.failure(&status, action, APPEND_TIMEOUT))),
            Err(_) if unanswered.is_late() => {
                let (id, target) = (client.node_id, client.target);
                return Some(Err(RPCError::Timeout(Timeout { action, id, target, timeout: APPEND_TIMEOUT })));
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::Vote;
    use super::*;

    #[tokio::test]
    async fn no_more_requests_are_under_way_than_allowed() {
        let unanswered = Arc::new(Unanswered::new());
        let request = || AppendEntriesRequest {
            vote: Vote::new_committed(1, 1),
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        let endless = stream::repeat_with(request);
        let mut sent = Box::pin(outgoing(endless, Arc::clone(&unanswered)));
        for _ in 0..UNANSWERED_MAX {
            assert!(futures::poll!(sent.next()).is_ready());
        }
        assert!(futures::poll!(sent.next()).is_pending());
        unanswered.answered();
        assert!(futures::poll!(sent.next()).is_ready());
        assert!(futures::poll!(sent.next()).is_pending());
    }

    #[test]
    fn silence_is_late_only_while_something_is_asked() {
        let unanswered = Unanswered::new();
        assert!(!unanswered.is_late());
        let long_ago = Instant::now().checked_sub(APPEND_TIMEOUT).expect("the machine runs for longer than that");
        unanswered.sent.lock().push_back(long_ago);
        unanswered.sent();
        assert!(unanswered.is_late() && unanswered.next_look() <= Instant::now());
        unanswered.answered();
        assert!(!unanswered.is_late());
    }
}
