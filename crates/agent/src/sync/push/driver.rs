//! Keeps a push stream open, on whichever replica can serve it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use steeple_api::push::EntryVersion;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::session::PushSession;
use super::stream::{End, Stream};
use crate::metrics;
use crate::sync::{Arrivals, FetchError, random_fraction};
use crate::upstream::{Upstream, explained, is_away};

pub struct PushDriver {
    pub upstream: Arc<Upstream>,
    pub arrivals: Arc<Arrivals>,
    pub sessions: watch::Sender<Option<Arc<PushSession>>>,
}

impl PushDriver {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.keep_open() => match never {},
        }
    }

    async fn keep_open(&self) -> Infallible {
        let mut unusable: BTreeMap<String, EntryVersion> = BTreeMap::new();
        let mut pause = PAUSE_MIN;
        loop {
            let mut replaced = self.upstream.replaced();
            let used = self.upstream.current();
            let opened = Instant::now();
            let mut stream = Stream { arrivals: &self.arrivals, sessions: &self.sessions, unusable: &mut unusable };
            let end = tokio::select! {
                end = stream.run((*used).clone()) => Some(end),
                // Another SVID, or another replica: the stream moves with the other calls.
                _ = replaced.changed() => None,
            };
            // Servers refuse the former SVID as soon as an attestation has brought another one, and the refusal may be
            // here before that one. Polls and calls meanwhile would be refused too: the session stays until then.
            if matches!(end, Some(End::Denied(_))) && self.upstream.is_current(&used) {
                self.upstream.renewed().await;
            }
            if self.close_session() || opened.elapsed() > PAUSE_MAX {
                pause = PAUSE_MIN;
            }
            let Some(end) = end else { continue };
            match end {
                End::Unknown => {
                    self.other_server(self.upstream.server(), &mut replaced).await;
                    continue;
                }
                End::Left => tracing::debug!("push stream ended; opening another"),
                // One that came with the SVID before the present one is refused in the ordinary course.
                End::Denied(status) if self.upstream.is_current(&used) => {
                    // In place of a poll that is refused: SPIRE's line, for whoever looks for it.
                    let error = FetchError::Entries(status);
                    tracing::error!(%error, "Synchronize failed");
                    self.report(&error);
                }
                End::Denied(_) => tracing::debug!("push stream refused: its SVID was replaced"),
                End::Failed(status) => {
                    tracing::debug!(error = explained(&status), "push stream failed; polling meanwhile");
                    let away = is_away(&status);
                    if self.upstream.is_current(&used) {
                        self.report(&FetchError::Entries(status));
                    }
                    if away {
                        self.upstream.avoid(&used);
                    }
                }
            }
            // Agents that were sent away together must not come back together.
            tokio::time::sleep(pause.mul_f64(random_fraction())).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn report(&self, error: &FetchError) {
        if let Some(status) = error.status() {
            self.arrivals.report(status, error);
        }
    }

    /// Whether there was one.
    fn close_session(&self) -> bool {
        let Some(session) = self.sessions.borrow().clone() else { return false };
        self.sessions.send_replace(None);
        session.end();
        metrics::push_connected(false);
        true
    }

    /// Waits until the agent is connected to another server than `refused`, or to another version of it perhaps.
    async fn other_server(&self, refused: Option<SocketAddr>, replaced: &mut watch::Receiver<u64>) {
        tracing::debug!("the server has no push stream; polling");
        let ask_again_at = Instant::now() + ASK_AGAIN.mul_f64(0.9 + 0.2 * random_fraction());
        while Instant::now() < ask_again_at && self.upstream.server() == refused {
            tokio::select! {
                _ = replaced.changed() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }
}

const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A server that is upgraded is another process, and mostly another connection; this is for load balancers.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// Connections come and go with calls, and nobody tells.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
