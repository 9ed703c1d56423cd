//! The open stream, for those who have something to say on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use steeple_api::push::{HASH_BYTES, SetHash};
use steeple_api::steeple::agent::from_agent::Kind;
use steeple_api::steeple::agent::{Ack, FromAgent, Issue, Issued, issue};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tonic::Status;

/// The session of the stream that is up, if one is.
pub type Sessions = watch::Receiver<Option<Arc<PushSession>>>;

/// One stream on which the agent is in step with the server.
pub struct PushSession {
    to_server: mpsc::Sender<FromAgent>,
    /// Calls that wait for their answers: the minter has one at a time.
    asked: Mutex<HashMap<u64, oneshot::Sender<Issued>>>,
    next_id: AtomicU64,
    serves: Mutex<(u64, SetHash)>,
}

impl PushSession {
    pub fn new(to_server: mpsc::Sender<FromAgent>) -> Self {
        Self {
            to_server,
            asked: Mutex::default(),
            next_id: AtomicU64::new(1),
            serves: Mutex::new((0, [0; HASH_BYTES])),
        }
    }

    /// Has SVIDs issued. `Unavailable` when the stream is gone, `DeadlineExceeded` when it says nothing for `limit`.
    pub async fn issue(&self, x509: Vec<issue::X509>, limit: Duration) -> Result<Issued, Status> {
        let request_id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.asked.lock().insert(request_id, answer);
        let exchange = async {
            self.say(Kind::Issue(Issue { request_id, x509, jwt: Vec::new() })).await?;
            answered.await.map_err(|_| gone())
        };
        let outcome = timeout(limit, exchange).await;
        self.asked.lock().remove(&request_id);
        outcome.unwrap_or_else(|_| Err(Status::deadline_exceeded(format!("no answer within {limit:?}"))))
    }

    /// Says that workloads are served from the set that came last, with this own bundle.
    pub async fn acknowledge(&self, bundle_sequence: u64) -> Result<(), Status> {
        let (log_index, set_hash) = *self.serves.lock();
        self.say(Kind::Ack(Ack { log_index, set_hash: set_hash.to_vec(), bundle_sequence })).await
    }

    pub(super) fn serves(&self, log_index: u64, set_hash: SetHash) {
        *self.serves.lock() = (log_index, set_hash);
    }

    /// An answer without a question is nobody's.
    pub(super) fn answered(&self, issued: Issued) {
        if let Some(answer) = self.asked.lock().remove(&issued.request_id) {
            let _ = answer.send(issued);
        }
    }

    /// Nobody will be answered any more.
    pub(super) fn end(&self) {
        self.asked.lock().clear();
    }

    async fn say(&self, kind: Kind) -> Result<(), Status> {
        self.to_server.send(FromAgent { kind: Some(kind) }).await.map_err(|_| gone())
    }
}

fn gone() -> Status {
    Status::unavailable("the push stream ended")
}
