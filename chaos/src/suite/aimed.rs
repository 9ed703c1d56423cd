//! A leader that stands still between the check that it may sign and the signature.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use steeple_api::server::svid::MintJwtsvidRequest;
use steeple_api::types;
use steeple_testkit::{Admin, until};
use tokio::task::JoinSet;

use super::processes::pause;
use super::site::TRUST_DOMAIN;
use super::stage::{LED_MAX, Stage, WRITES, followed};

/// So many tokens are signed at once that some are in the middle at any time.
const CALLERS: usize = 16;
/// A pause that meets none in the middle is made again.
const TRIES: usize = 5;
/// A replica that goes on notices at once that its time was over.
const NOTICED_MAX: Duration = Duration::from_secs(3);
/// What a signer says that throws away what it signed.
const DISCARDED: &str = "signatures discarded";

pub(super) async fn leader_paused_while_signing(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    for _ in 0..TRIES {
        let before = stage.led().await?;
        let mark = stage.site.log_mark(before.position);
        let callers = Callers::start(&stage.site.server(before.position).admin_socket());
        callers.are_served().await?;
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

/// Have JWT-SVIDs signed without a pause until they are dropped.
struct Callers {
    answers: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Callers {
    fn start(socket: &Path) -> Self {
        let (answers, mut tasks) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
        let admin = Admin::at(socket);
        for _ in 0..CALLERS {
            let (admin, answers) = (admin.clone(), Arc::clone(&answers));
            tasks.spawn(async move {
                loop {
                    // Whatever it answers: the faults are judged by the load beside.
                    let answer = admin.svids().mint_jwtsvid(request()).await;
                    answers.fetch_add(u64::from(answer.is_ok()), Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            });
        }
        Self { answers, _tasks: tasks }
    }

    async fn are_served(&self) -> anyhow::Result<()> {
        until("all callers are served", LED_MAX, async || {
            let answers = self.answers.load(Ordering::Relaxed);
            ensure!(answers >= CALLERS as u64, "{answers} answers");
            Ok(())
        })
        .await
    }
}

fn request() -> MintJwtsvidRequest {
    let id = types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: "/aimed".to_owned() };
    MintJwtsvidRequest { id: Some(id), audience: vec!["chaos".to_owned()], ttl: 60 }
}
