//! The leader's care for the peers' certificate authority: it is replaced in two phases, each of which begins only when
//! every member has applied the one before. A member that is away holds it up, because one that missed a phase could
//! not be reached any more.
//!
//! ```text
//!   [a]  ── a is old ──▶  [a, b]  ── all know b ──▶  [b, a]  ── all show b's ──▶  [b]
//!                          b is trusted              b issues                     a is trusted no more
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use steeple_core::Timestamp;
use steeple_state::{Change, CommandKind, Outcome};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::consensus::Consensus;
use super::peer_ca::open_keyring;
use super::propose::{Queue, driver_command};
use super::types::NodeId;
use crate::peer::{AuthorityError, PeerCaContent};
use crate::seal::ServerSealed;

/// How often the leader looks whether the next step is due.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// One replacement of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Announce,
    Activate,
    Retire,
}

/// What is next for authorities that were made at these times, the issuing one first.
fn plan(now: Timestamp, created_at: &[Timestamp], rotate_after: Duration) -> Option<Step> {
    let (issuing, others) = created_at.split_first()?;
    if others.iter().any(|other| other > issuing) {
        Some(Step::Activate)
    } else if !others.is_empty() {
        Some(Step::Retire)
    } else if now.since(*issuing) >= rotate_after {
        Some(Step::Announce)
    } else {
        None
    }
}

/// Since when, and up to which log index, the document is as it is.
#[derive(Clone, Copy)]
struct Settling {
    index: u64,
    since: Instant,
}

/// Runs while this replica lives; acts while it leads.
pub(super) async fn care(consensus: Arc<Consensus>, queue: Queue) {
    let mut events = consensus.published.events.subscribe();
    let mut settling: Option<Settling> = None;
    let mut told = BTreeSet::new();
    let mut looks = tokio::time::interval(LOOK_AGAIN);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            event = events.recv() => match event {
                Ok(applied) if applied.events.iter().any(|event| matches!(event.change, Change::PeerCa { .. })) => {
                    settling = None;
                }
                Ok(_) => continue,
                Err(RecvError::Lagged(_)) => settling = None,
                Err(RecvError::Closed) => return,
            },
        }
        if !consensus.leadership_now().is_leader {
            settling = None;
            continue;
        }
        // Everything that led to the document lies at or below what is applied now.
        let index = *consensus.published.applied.borrow();
        let settled = *settling.get_or_insert(Settling { index, since: Instant::now() });
        let Some((step, content, revision)) = due(&consensus) else { continue };
        if settled.since.elapsed() < consensus.timing.peer_ca_settle {
            continue;
        }
        let behind = behind(&consensus, settled.index);
        if !behind.is_empty() {
            if told != behind {
                tracing::warn!(?step, nodes = ?behind, "the peer CA is not rotated before these members answer");
                told = behind;
            }
            continue;
        }
        told.clear();
        if let Err(error) = take(&consensus, &queue, step, &content, revision).await {
            tracing::warn!(?step, %error, "a step in the rotation of the peer CA failed, trying again");
        }
    }
}

fn due(consensus: &Consensus) -> Option<(Step, PeerCaContent, u64)> {
    let sealed = consensus.published.state.read().peer_ca().cloned()?;
    let content = PeerCaContent::decode(&sealed.content).ok()?;
    let step = plan(consensus.clock.now(), &content.created_at(), consensus.timing.peer_ca_rotate_after)?;
    Some((step, content, sealed.revision))
}

/// Members that are not known to have applied `index`, and sealed ones, which cannot renew their certificates. Those on
/// the list count, whether Raft knows them yet or not.
fn behind(consensus: &Consensus, index: u64) -> BTreeSet<NodeId> {
    let state = consensus.published.state.read();
    let others = state.members().map(|member| member.node_id).filter(|id| *id != consensus.node_id);
    others
        .filter(|id| consensus.reports.of(*id).is_none_or(|report| report.sealed || report.applied_index < index))
        .collect()
}

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Sealed(#[from] ServerSealed),
    #[error("the cluster has no keyring")]
    NoKeyring,
    #[error("{0}")]
    Refused(String),
}

async fn take(
    consensus: &Consensus,
    queue: &Queue,
    step: Step,
    content: &PeerCaContent,
    expected_revision: u64,
) -> Result<(), StepError> {
    let next = match step {
        Step::Announce => {
            let keyring = {
                let state = consensus.published.state.read();
                open_keyring(&state, consensus.sealing_key.of(&state)?.as_ref()).map_err(AuthorityError::from)?
            };
            let keyring = keyring.ok_or(StepError::NoKeyring)?;
            content.with_successor(&keyring, consensus.clock.now(), &SystemRandom::new())?
        }
        Step::Activate => content.activated(),
        Step::Retire => content.retired(),
    };
    let kind = CommandKind::SetPeerCa { content: next.encode(), expected_revision };
    match queue.submit(driver_command("peer CA", kind), Instant::now() + STEP_TIMEOUT).await {
        Ok(committed) => match committed.outcome {
            Outcome::Rejected(rejection) => Err(StepError::Refused(rejection.message)),
            _ => {
                tracing::info!(?step, "the peer CA was changed");
                Ok(())
            }
        },
        Err(refusal) => Err(StepError::Refused(format!("{refusal:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(days: i64) -> Timestamp {
        Timestamp::from_secs(days * 24 * 3600)
    }

    #[test]
    fn an_authority_is_replaced_in_three_steps() {
        let plan = |now, created_at: &[Timestamp]| plan(at(now), created_at, 30 * DAY);
        assert_eq!(plan(29, &[at(0)]), None);
        assert_eq!(plan(30, &[at(0)]), Some(Step::Announce));
        assert_eq!(plan(30, &[at(0), at(30)]), Some(Step::Activate));
        assert_eq!(plan(30, &[at(30), at(0)]), Some(Step::Retire));
        assert_eq!(plan(31, &[at(30)]), None);
    }

    #[test]
    fn a_clock_that_jumped_back_only_waits() {
        assert_eq!(plan(at(1), &[at(10)], 30 * DAY), None);
        assert_eq!(plan(at(1), &[], 30 * DAY), None);
    }
}
