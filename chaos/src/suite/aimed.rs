//! Faults that aim at signing: a leader that stands still between the check that it may sign and the signature, and one
//! that is asked for more signatures than it can make.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use steeple_api::server::svid::MintJwtsvidRequest;
use steeple_api::status::retry_delay;
use steeple_api::types;
use steeple_testkit::{Admin, until};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::processes::pause;
use super::site::TRUST_DOMAIN;
use super::stage::{LED_MAX, Stage, WRITES, followed};

/// So many tokens are signed at once that some are in the middle at any time.
const CALLERS: usize = 16;
/// So many that there is no room for some of them, whatever the machine.
const FLOOD: usize = 4_000;
/// A connection carries some of them.
const CALLERS_OF_A_CONNECTION: usize = 200;
/// Who finds no room comes back before it was told to.
const COMES_BACK_AFTER: Duration = Duration::from_millis(500);
/// A pause that meets none in the middle is made again, and so is a flood that something else broke into.
const TRIES: usize = 5;
/// A replica that goes on notices at once that its time was over.
const NOTICED_MAX: Duration = Duration::from_secs(3);
/// What a signer says that throws away what it signed.
const DISCARDED: &str = "signatures discarded";

pub(super) async fn leader_paused_while_signing(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    for _ in 0..TRIES {
        let before = stage.led().await?;
        let mark = stage.site.log_mark(before.position);
        let callers = Callers::start(&stage.site.server(before.position).admin_socket(), CALLERS);
        callers.are_served(CALLERS).await?;
        pause(stage, before.position).await?;
        let after = stage.led_by_another(before).await?;
        stage.writes(WRITES, LED_MAX).await?;
        stage.site.cluster.servers[before.position].process().context("the replica is down")?.resume();
        let discarded = until("signatures are discarded", NOTICED_MAX, async || {
            stage.site.log_line(before.position, mark, DISCARDED)
        });
        let discarded = discarded.await;
        drop(callers);
        if discarded.is_ok() {
            return Ok(format!("{}; what it had begun to sign was discarded", followed(before, after)));
        }
        stage.settle().await?;
    }
    bail!("{TRIES} pauses of a leader that signed met no signature in the middle")
}

/// The heartbeats go on: the same replica leads in the same term, and takes writes. On a machine that has more to do it
/// may hand over for another reason, such as its disk; then it is tried again.
pub(super) async fn leader_flooded(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let mut moves = Vec::new();
    for _ in 0..TRIES {
        let before = stage.led().await?;
        let callers = Callers::start(&stage.site.server(before.position).admin_socket(), FLOOD);
        until("a caller finds no room", LED_MAX, async || {
            ensure!(callers.turned_away() > 0, "{} were served", callers.served());
            Ok(())
        })
        .await?;
        stage.hold().await?;
        let after = stage.led().await?;
        let (served, turned_away) = (callers.served(), callers.turned_away());
        drop(callers);
        if (after.node_id, after.term) == (before.node_id, before.term) {
            return Ok(format!("{served} tokens were signed, {turned_away} were refused for now, and the leader led"));
        }
        moves.push(followed(before, after));
        stage.settle().await?;
    }
    bail!("no leader led on: {}", moves.join("; "))
}

/// Have JWT-SVIDs signed without a pause until they are dropped.
struct Callers {
    counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    served: AtomicU64,
    /// With a time after which to come back.
    turned_away: AtomicU64,
}

impl Callers {
    fn start(socket: &Path, count: usize) -> Self {
        let (counts, mut tasks) = (Arc::new(Counts::default()), JoinSet::new());
        let admins: Vec<Admin> = (0..count.div_ceil(CALLERS_OF_A_CONNECTION)).map(|_| Admin::at(socket)).collect();
        for admin in admins.iter().cycle().take(count) {
            let (admin, counts) = (admin.clone(), Arc::clone(&counts));
            tasks.spawn(async move {
                loop {
                    // Whatever else it answers: the faults are judged by the load beside.
                    match admin.svids().mint_jwtsvid(request()).await {
                        Ok(_) => counts.served.fetch_add(1, Ordering::Relaxed),
                        Err(status) if retry_delay(&status).is_some() => {
                            sleep(COMES_BACK_AFTER).await;
                            counts.turned_away.fetch_add(1, Ordering::Relaxed)
                        }
                        Err(_) => 0,
                    };
                    tokio::task::yield_now().await;
                }
            });
        }
        Self { counts, _tasks: tasks }
    }

    fn served(&self) -> u64 {
        self.counts.served.load(Ordering::Relaxed)
    }

    fn turned_away(&self) -> u64 {
        self.counts.turned_away.load(Ordering::Relaxed)
    }

    async fn are_served(&self, count: usize) -> anyhow::Result<()> {
        until("all callers are served", LED_MAX, async || {
            let served = self.served();
            ensure!(served >= count as u64, "{served} answers");
            Ok(())
        })
        .await
    }
}

fn request() -> MintJwtsvidRequest {
    let id = types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: "/aimed".to_owned() };
    MintJwtsvidRequest { id: Some(id), audience: vec!["chaos".to_owned()], ttl: 60 }
}
