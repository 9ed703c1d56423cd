//! The proposer: everything that waits goes into one log entry.
//!
//! While an entry is on its way to the disks, writes gather in the queue; the next entry carries them all. Nothing ever
//! waits for a timer: with an idle disk a lone write leaves at once.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use steeple_core::Timestamp;
use steeple_state::limits::COMMANDS_BYTES_MAX;
use steeple_state::{Command, CommandKind, NO_REQUEST, Outcome, codec};
use steeple_storage::Storage;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::clock_guard::Verdict;
use super::consensus::Consensus;
use super::error::{Refusal, StopReason};
use super::room;
use super::types::{LeaderId, Proposal};
use crate::metrics;

/// A command that a quorum holds and this replica has applied.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) index: u64,
    pub(super) outcome: Outcome,
}

/// One command alone must fit an entry, whose decoder has a bound; the rest is the entry's version byte.
const COMMAND_BYTES_MAX: usize = COMMANDS_BYTES_MAX - 16;

/// A command of one of the leader's own tasks. It may be repeated, so no outcome is kept for it.
pub(super) fn driver_command(driver: &str, kind: CommandKind) -> Command {
    Command { request_id: NO_REQUEST, at: Timestamp::default(), actor: driver.to_owned(), kind }
}

type Answer = oneshot::Sender<Result<Committed, Refusal>>;

/// A command in the queue. Its time is stamped when it leaves.
struct Waiting {
    command: Command,
    encoded_bytes: usize,
    answer: Answer,
}

/// The way to the proposer.
#[derive(Clone)]
pub(super) struct Queue {
    sender: mpsc::Sender<Waiting>,
}

impl Queue {
    /// Waits for the outcome until `deadline`. Dropping the future withdraws a command that has not left yet.
    pub(super) async fn submit(&self, command: Command, deadline: Instant) -> Result<Committed, Refusal> {
        let (answer, outcome) = oneshot::channel();
        let encoded_bytes = codec::command_len(&command);
        self.enter(Waiting { command, encoded_bytes, answer }).inspect_err(|_| metrics::proposed(1, "refused"))?;
        match tokio::time::timeout_at(deadline, outcome).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Refusal::Ambiguous),
        }
    }

    fn enter(&self, waiting: Waiting) -> Result<(), Refusal> {
        let bytes = waiting.encoded_bytes;
        if bytes > COMMAND_BYTES_MAX {
            return Err(Refusal::TooLarge { bytes, bytes_max: COMMAND_BYTES_MAX });
        }
        self.sender.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Overloaded { queued: self.sender.max_capacity() },
            mpsc::error::TrySendError::Closed(_) => Refusal::Stopped(StopReason("shutting down".to_owned())),
        })
    }
}

pub(super) struct Proposer {
    consensus: Arc<Consensus>,
    /// Here and not in what is shared: it must close when this task ends.
    storage: Storage,
    queue: mpsc::Receiver<Waiting>,
    /// Taken from the queue but too large for the entry just sent: it opens the next one.
    held: Option<Waiting>,
}

impl Proposer {
    pub(super) fn new(consensus: Arc<Consensus>, storage: Storage) -> (Queue, Self) {
        let (sender, queue) = mpsc::channel(consensus.limits.queue_max);
        let proposer = Self { consensus, storage, queue, held: None };
        (Queue { sender }, proposer)
    }

    /// Ends when every [`Queue`] is gone.
    pub(super) async fn run(mut self) {
        let mut in_flight: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        loop {
            let room = in_flight.len() < self.consensus.limits.entries_in_flight_max;
            tokio::select! {
                biased;
                Some(()) = in_flight.next() => {}
                batch = self.next_batch(), if room => match batch {
                    Some(batch) => in_flight.extend(self.send(batch).await),
                    None => break,
                },
            }
        }
        while in_flight.next().await.is_some() {}
    }

    /// Waits for one command, then takes all that wait and fit. Cancel safe: it waits only while it holds nothing.
    async fn next_batch(&mut self) -> Option<Vec<Waiting>> {
        let first = match self.held.take() {
            Some(held) => held,
            None => self.queue.recv().await?,
        };
        let limits = &self.consensus.limits;
        let mut bytes = first.encoded_bytes;
        let mut batch = vec![first];
        while batch.len() < limits.entry_commands_max {
            let Ok(next) = self.queue.try_recv() else { break };
            if next.answer.is_closed() {
                continue;
            }
            if bytes + next.encoded_bytes > limits.entry_bytes_max {
                self.held = Some(next);
                break;
            }
            bytes += next.encoded_bytes;
            batch.push(next);
        }
        Some(batch)
    }

    /// Hands one entry to the consensus. What is returned resolves when its waiters have been answered.
    async fn send(&mut self, batch: Vec<Waiting>) -> Option<BoxFuture<'static, ()>> {
        let leader = match self.may_stamp() {
            Ok(leader) => leader,
            Err(refusal) => {
                refuse(batch.into_iter().map(|waiting| waiting.answer), &refusal);
                return None;
            }
        };
        let batch = self.with_room(self.within_version(batch));
        if batch.is_empty() {
            return None;
        }
        let (commands, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.command, waiting.answer)).unzip();
        let proposal = self.stamp(leader, commands);
        let (responder, outcome) = ProgressResponder::complete_only();
        // Fenced by the leader that stamped: under another one the entry is refused, not renamed.
        let sent = self.consensus.raft.write(proposal).with_leader(leader).responder(responder).await;
        if let Err(fatal) = sent {
            refuse(answers, &Refusal::Stopped(StopReason(fatal.to_string())));
            return None;
        }
        Some(Box::pin(async move {
            match outcome.await {
                Ok(Ok(written)) => {
                    let index = written.log_id.index();
                    metrics::proposed(answers.len(), "committed");
                    for (answer, outcome) in answers.into_iter().zip(written.data.0) {
                        let _ = answer.send(Ok(Committed { index, outcome }));
                    }
                }
                Ok(Err(error)) => refuse(answers, &refusal(&error)),
                Err(_) => refuse(answers, &Refusal::Ambiguous),
            }
        }))
    }

    /// What of `batch` every member knows; the rest is refused, because it would stop the apply of some.
    fn within_version(&self, batch: Vec<Waiting>) -> Vec<Waiting> {
        let has = self.consensus.published.state.read().cluster_version();
        let (taken, refused): (Vec<Waiting>, Vec<Waiting>) =
            batch.into_iter().partition(|waiting| waiting.command.kind.needs_version() <= has);
        for waiting in refused {
            let needs = waiting.command.kind.needs_version();
            refuse([waiting.answer], &Refusal::NotFinalized { needs, has });
        }
        taken
    }

    /// What of `batch` the disk has room for; the rest is refused.
    fn with_room(&self, batch: Vec<Waiting>) -> Vec<Waiting> {
        let Err(refusal) = room::check(&self.storage, self.consensus.node_id) else { return batch };
        let (refused, taken): (Vec<Waiting>, Vec<Waiting>) =
            batch.into_iter().partition(|waiting| room::needs_room(&waiting.command.kind));
        if !refused.is_empty() {
            self.consensus.out_of_room.notify_one();
        }
        refuse(refused.into_iter().map(|waiting| waiting.answer), &refusal);
        taken
    }

    fn may_stamp(&self) -> Result<LeaderId, Refusal> {
        let leader = self.consensus.raft.as_leader().map_err(|_| Refusal::NotLeader)?;
        if self.consensus.comparison.is_diverged() {
            // What it answers would come from its own state.
            return Err(Refusal::NotLeader);
        }
        match self.consensus.clock_verdict() {
            Verdict::Trusted | Verdict::Unknown => Ok(*leader.leader_id()),
            Verdict::Skewed { offset_ms } => Err(Refusal::ClockSkew { node_id: self.consensus.node_id, offset_ms }),
        }
    }

    /// Stamps may run backwards with the clock; the state keeps the highest one.
    fn stamp(&self, leader: LeaderId, mut commands: Vec<Command>) -> Proposal {
        let now = self.consensus.clock.now();
        self.consensus.stamps.stamped(leader, now);
        for command in &mut commands {
            command.at = now;
        }
        Proposal { stamped_at: now, commands: Bytes::from(codec::encode_commands(&commands)) }
    }
}

fn refuse(answers: impl IntoIterator<Item = Answer>, refusal: &Refusal) {
    let mut refused = 0;
    for answer in answers {
        refused += 1;
        // Whoever does not wait any more needs no answer.
        let _ = answer.send(Err(refusal.clone()));
    }
    metrics::proposed(refused, if matches!(refusal, Refusal::Ambiguous) { "ambiguous" } else { "refused" });
}

fn refusal(error: &ClientWriteError<super::types::TypeConfig>) -> Refusal {
    match error {
        // Refused before it was appended: not the leader any more, or a leader that lost its quorum.
        ClientWriteError::ForwardToLeader(_) => Refusal::NotLeader,
        _ => Refusal::Ambiguous,
    }
}
