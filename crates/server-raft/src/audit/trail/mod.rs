//! The audit file of this replica: one thread writes what all calls submit.
//!
//! ```text
//!   layer, push ──► Trail ──► bounded queue ──► thread "audit" ──► audit.log, audit.log.1 ...   writer.rs
//!                     ▲                          │    └─ files.rs: names, locks, ends, rotation
//!                     └── written, or why not ◄──┘
//!                            │
//!        progress ──► driver::audit: the head goes into the Raft log
//! ```
//!
//! All that waits goes into one write. Under `fail_closed` one `fdatasync` follows it before anybody is answered, and
//! what comes meanwhile waits for the next: there is no timer. Otherwise the file is synced when its head is anchored,
//! when it is rotated, and at the end.

mod files;
#[cfg(test)]
mod tests;
mod writer;

pub use files::siblings_of;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steeple_config::AuditSettings;
use steeple_core::{Clock, system_words};
use steeple_state::AuditAnchor;
use steeple_telemetry::log::Fields;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::Status;

use super::chain::Head;
use crate::metrics;
use crate::raft::Beginning;
use files::Files;
use writer::Writer;

/// Where the replica stands, for the records' stamps.
pub trait Position: Send + 'static {
    fn node_id(&self) -> u64;
    /// The last applied log entry, and the term.
    fn index_and_term(&self) -> (u64, u64);
    /// The latest anchor of this replica.
    fn anchor(&self) -> Option<AuditAnchor>;
    /// How the cluster began anew, on the replica that it began with.
    fn beginning(&self) -> Option<Beginning>;
}

/// Why something is not on record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit record of this call cannot be written to {}: {why}", path.display())]
pub struct Unwritten {
    pub path: PathBuf,
    pub why: String,
}

/// What was written so far, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub records: u64,
    /// New files.
    pub files: u64,
}

/// The file is there, is ours alone, and can be written.
#[derive(Debug)]
pub struct OpenTrail {
    settings: AuditSettings,
    files: Files,
}

/// The way to the thread. Clones are the same trail; when the last one is dropped, the thread ends.
#[derive(Clone)]
pub struct Trail {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
}

struct Shared {
    path: PathBuf,
    fail_closed: bool,
    /// Records that found no room in the queue.
    lost: AtomicU64,
}

type Answer<T> = oneshot::Sender<Result<T, Unwritten>>;

enum Job {
    /// With `answer`: durable before it is given.
    Put {
        records: Vec<Fields>,
        answer: Option<Answer<()>>,
    },
    /// All that was written is durable, and this is the last of it.
    Head {
        ends: bool,
        answer: Answer<Head>,
    },
    Reopen,
}

impl Unwritten {
    /// Of a call that may have had its effect.
    pub fn after_the_call(&self) -> Status {
        Status::unavailable(format!("the call may have taken effect, and its answer is withheld: {self}"))
    }
}

/// Before the call had an effect.
impl From<Unwritten> for Status {
    fn from(unwritten: Unwritten) -> Self {
        Self::unavailable(format!("the call was refused before it had an effect: {unwritten}"))
    }
}

impl OpenTrail {
    /// Opens the file, which is created with mode 0600 in a directory that must be there.
    pub fn open(settings: &AuditSettings) -> anyhow::Result<Self> {
        let files = Files::open(&settings.file).map_err(|error| {
            let (path, words) = (settings.file.display(), system_words(&error));
            anyhow::anyhow!("server.audit.file: open {path}: {words}; every replica needs an audit file of its own")
        })?;
        Ok(Self { settings: settings.clone(), files })
    }

    /// Starts the thread. The first records say how the chain goes on.
    pub fn start(self, position: impl Position, clock: Arc<dyn Clock>) -> std::io::Result<Trail> {
        let (jobs, queue) = mpsc::channel(JOBS_WAITING_MAX);
        let (told, progress) = watch::channel(Progress::default());
        let Self { settings, files } = self;
        let shared = Arc::new(Shared {
            path: settings.file.clone(),
            fail_closed: settings.fail_closed,
            lost: AtomicU64::new(0),
        });
        let writer = Writer::new(files, &settings, Box::new(position), clock, Arc::clone(&shared), told);
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(queue))?;
        Ok(Trail { jobs, shared, progress })
    }
}

impl Trail {
    /// Whether a call without a record is refused.
    pub fn is_fail_closed(&self) -> bool {
        self.shared.fail_closed
    }

    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Submits and does not wait: what cannot be written is counted, and the chain says how much that was.
    pub fn note(&self, records: Vec<Fields>) {
        let count = records.len() as u64;
        if self.jobs.try_send(Job::Put { records, answer: None }).is_err() {
            self.shared.lost.fetch_add(count, Ordering::Relaxed);
            metrics::audit_failed(count);
        }
    }

    /// Submits now; what is returned resolves when the records are durable.
    pub fn put(&self, records: Vec<Fields>) -> impl Future<Output = Result<(), Unwritten>> + Send + use<> {
        let (trail, count) = (self.clone(), records.len() as u64);
        let (answer, written) = oneshot::channel();
        let full = match self.jobs.try_send(Job::Put { records, answer: Some(answer) }) {
            Err(TrySendError::Full(job)) => Some(job),
            // One that is closed drops the answer.
            Ok(()) | Err(TrySendError::Closed(_)) => None,
        };
        async move {
            let put = async {
                if let Some(job) = full {
                    trail.jobs.send(job).await.map_err(|_| trail.unwritten(ENDED))?;
                }
                written.await.unwrap_or_else(|_| Err(trail.unwritten(ENDED)))
            };
            tokio::time::timeout(PUT_TIMEOUT, put).await.unwrap_or_else(|_| {
                metrics::audit_failed(count);
                Err(trail.unwritten("the disk does not keep up; retry, and look at the disk if it lasts"))
            })
        }
    }

    /// The last record, which is durable then. With `ends` it says that the server stops.
    pub async fn head(&self, ends: bool) -> Result<Head, Unwritten> {
        let (answer, head) = oneshot::channel();
        self.jobs.send(Job::Head { ends, answer }).await.map_err(|_| self.unwritten(ENDED))?;
        head.await.unwrap_or_else(|_| Err(self.unwritten(ENDED)))
    }

    /// Opens the file anew, after somebody moved it away.
    pub async fn reopen(&self) {
        // A thread that has ended has said why.
        let _ = self.jobs.send(Job::Reopen).await;
    }

    fn unwritten(&self, why: &str) -> Unwritten {
        Unwritten { path: self.shared.path.clone(), why: why.to_owned() }
    }
}

const ENDED: &str = "the server is stopping";
/// Batches of records that wait for the disk.
const JOBS_WAITING_MAX: usize = 4_096;
/// As long as a write to the log may take.
const PUT_TIMEOUT: Duration = Duration::from_secs(10);
