//! The CA is replaced by an operator, and at each step something happens to the leader.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use steeple_api::steeple::server::AuthorityStatusResponse;
use steeple_testkit::until;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::processes;
use super::stage::{LED_MAX, Stage, followed};
use crate::faults::Link;

/// The steps that the operator's command announces, in their order.
const STEPS: [&str; 4] = ["prepare", "activate", "taint", "revoke"];
const KINDS: [&str; 2] = ["x509", "jwt"];
const TROUBLES: [Trouble; 3] = [Trouble::Paused, Trouble::CutOff, Trouble::Killed];
/// A step waits for agents and replicas; a replica that was restarted is waited for a minute.
const STEP_MAX: Duration = Duration::from_secs(240);
/// What the command itself waits before it goes on without whoever is missing; that would be a violation.
const ACK_WAIT: &str = "30m";
/// An operator starts the command again when it stopped, so often.
const STARTS_MAX: u32 = 5;
/// The replica that is asked may be down: it is started again when the cluster has shown that it goes on without.
const START_PAUSE: Duration = Duration::from_secs(5);
/// Lines of the command that nobody has read yet.
const LINES_MAX: usize = 256;
const GOES_WITHOUT: &str = "going on without";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Killed,
    Paused,
    CutOff,
}

/// What the history calls the trouble at each step of the rotation with this number.
pub(super) fn names(number: u64) -> Vec<String> {
    troubles(number).map(|(step, trouble)| name(step, trouble)).collect()
}

fn troubles(number: u64) -> impl Iterator<Item = (&'static str, Trouble)> {
    let first = (number % TROUBLES.len() as u64) as usize;
    STEPS.into_iter().zip(TROUBLES.into_iter().cycle().skip(first))
}

fn name(step: &str, trouble: Trouble) -> String {
    let trouble = match trouble {
        Trouble::Killed => "killed",
        Trouble::Paused => "paused",
        Trouble::CutOff => "cut-off",
    };
    format!("rotation-{step}-leader-{trouble}")
}

/// What the rotation with this number replaces: each kind meets every trouble at every step.
fn kind(number: u64) -> &'static str {
    let round = number / TROUBLES.len() as u64;
    KINDS[(round % KINDS.len() as u64) as usize]
}

/// Replaces the active authority of a kind as if it were compromised.
pub(super) async fn rotate(stage: &mut Stage<'_>, number: u64) -> anyhow::Result<()> {
    let (asked, kind) = (stage.follower().await?, kind(number));
    let before = active(&stage.site.cluster.servers[asked].admin().authority_status().await?, kind)?;
    let mut lines = operator(stage, asked, kind, &before);
    for (step, trouble) in troubles(number) {
        let line = announced(&mut lines, step, stage).await?;
        let fault = name(step, trouble);
        stage.recorder.fault(&fault)?;
        let evidence = inflict(stage, trouble).await.with_context(|| fault.clone())?;
        let settled = stage.settle().await.with_context(|| format!("after {fault}"))?;
        let evidence = format!("at {line:?}: {evidence}; settled after {} ms", settled.as_millis());
        stage.recorder.healed(&fault, &evidence)?;
    }
    announced(&mut lines, ENDED, stage).await?;
    let server = &stage.site.cluster.servers[asked];
    let status = until("a status", LED_MAX, async || server.admin().authority_status().await).await?;
    if active(&status, kind)? == before {
        stage.recorder.violation("the rotation ended, and the old authority is active")?;
    }
    let bundle = server.admin().bundle().await?;
    let mut tainted = bundle.x509_authorities.iter().map(|root| root.tainted);
    if tainted.any(|tainted| tainted) || bundle.jwt_authorities.iter().any(|key| key.tainted) {
        stage.recorder.violation("the rotation ended, and the tainted authority is in the bundle")?;
    }
    Ok(())
}

const ENDED: &str = "the command has ended";

/// The operator's command, started again whenever it stops before its end. What it says comes out.
fn operator(stage: &Stage<'_>, asked: usize, kind: &str, authority_id: &str) -> mpsc::Receiver<anyhow::Result<String>> {
    let server = &stage.site.cluster.servers[asked];
    let (program, socket) = (server.program().to_owned(), server.admin_socket());
    let words = ["ca", "rotate", "-kind", kind, "-compromised", "-ackWait", ACK_WAIT, "-authorityID", authority_id];
    let words = words.map(str::to_owned);
    let (said, lines) = mpsc::channel(LINES_MAX);
    tokio::spawn(async move {
        let mut last = String::new();
        for start in 0..STARTS_MAX {
            if start > 0 {
                sleep(START_PAUSE).await;
            }
            let mut command = Command::new(&program);
            command.args(&words).arg("-socketPath").arg(&socket).kill_on_drop(true);
            match run(command, &said, &mut last).await {
                Ok(true) => return drop(said.send(Ok(ENDED.to_owned())).await),
                Ok(false) => {}
                Err(error) => return drop(said.send(Err(error)).await),
            }
        }
        let _ = said.send(Err(anyhow::anyhow!("the command stopped {STARTS_MAX} times; its last words: {last}"))).await;
    });
    lines
}

/// Whether it came to its end.
async fn run(
    mut command: Command,
    said: &mpsc::Sender<anyhow::Result<String>>,
    last: &mut String,
) -> anyhow::Result<bool> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start the operator's command")?;
    let mut lines = BufReader::new(child.stderr.take().context("no pipe")?).lines();
    while let Some(line) = lines.next_line().await? {
        last.clone_from(&line);
        // Nobody listens any more: the round is over.
        if said.send(Ok(line)).await.is_err() {
            return Ok(true);
        }
    }
    Ok(child.wait().await?.success())
}

/// Waits until the command says `words`.
async fn announced(
    lines: &mut mpsc::Receiver<anyhow::Result<String>>,
    words: &str,
    stage: &Stage<'_>,
) -> anyhow::Result<String> {
    let mut last = String::new();
    let wait = async {
        loop {
            let line = lines.recv().await.context("the command is gone")??;
            if line.contains(GOES_WITHOUT) {
                stage.recorder.violation(&line)?;
            }
            if line.contains(words) {
                return Ok(line);
            }
            last = line;
        }
    };
    let waited = timeout(STEP_MAX, wait).await;
    waited.unwrap_or_else(|_| Err(anyhow::anyhow!("it never said {words:?}; its last words: {last}")))
}

async fn inflict(stage: &mut Stage<'_>, trouble: Trouble) -> anyhow::Result<String> {
    let before = stage.led().await?;
    match trouble {
        Trouble::Killed => stage.site.server(before.position).kill9().await?,
        Trouble::Paused => processes::pause(stage, before.position).await?,
        Trouble::CutOff => stage.site.network.set_all_of(before.position, Link::CUT),
    }
    Ok(followed(before, stage.led_by_another(before).await?))
}

pub(super) fn active(status: &AuthorityStatusResponse, kind: &str) -> anyhow::Result<String> {
    let mut of_kind = status.authorities.iter().filter(|authority| authority.kind == kind);
    let active = of_kind.find(|authority| authority.slot == "active").context("no authority is active")?;
    ensure!(!active.tainted, "the active authority is tainted");
    Ok(active.authority_id.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn three_rotations_have_every_trouble_at_every_step() {
        let all: BTreeSet<String> = (0..3).flat_map(names).collect();
        assert_eq!(all.len(), STEPS.len() * TROUBLES.len());
        assert_eq!(names(0)[0], "rotation-prepare-leader-paused");
        assert_eq!([2, 3, 5, 6].map(kind), ["x509", "jwt", "jwt", "x509"]);
    }
}
