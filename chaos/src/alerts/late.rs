//! A node that serves late what it is told: it acknowledges every change on its push stream after a while.

use std::time::Duration;

use anyhow::Context as _;
use steeple_api::push::PROTOCOL;
use steeple_api::steeple::agent::from_agent::Kind as FromAgentKind;
use steeple_api::steeple::agent::from_server::Kind;
use steeple_api::steeple::agent::push_client::PushClient;
use steeple_api::steeple::agent::{Ack, FromAgent, Hello};
use steeple_api::types;
use steeple_testkit::{Admin, own_uid_selector, workload_entry};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

/// Between two entries for the node.
const PAUSE: Duration = Duration::from_secs(1);
/// More than are on their way at any moment.
const ACKS_WAITING_MAX: usize = 256;

/// Entries of the agent `node` change by `admin`, and over `channel` it acknowledges each after `delay`, as long as the
/// value is there.
pub(super) async fn acknowledge_late(
    channel: Channel,
    admin: Admin,
    node: types::Spiffeid,
    delay: Duration,
) -> anyhow::Result<JoinSet<()>> {
    let (say, outgoing) = mpsc::channel(ACKS_WAITING_MAX);
    say.send(said(FromAgentKind::Hello(Hello { protocol: PROTOCOL, ..Hello::default() }))).await?;
    let stream = PushClient::new(channel).sync(ReceiverStream::new(outgoing)).await.context("opening a push stream")?;
    let mut messages = stream.into_inner();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut late = JoinSet::new();
        while let Ok(Some(message)) = messages.message().await {
            let Some(Kind::Change(change)) = message.kind else { continue };
            if change.more {
                continue;
            }
            let ack = Ack { log_index: change.log_index, set_hash: change.set_hash, ..Ack::default() };
            let say = say.clone();
            late.spawn(async move {
                tokio::time::sleep(delay).await;
                let _ = say.send(said(FromAgentKind::Ack(ack))).await;
            });
        }
    });
    tasks.spawn(async move {
        for number in 0_u64.. {
            let id = format!("late-{number}");
            let _ = admin.create_entry(workload_entry(&id, &node, &format!("/{id}"), vec![own_uid_selector()])).await;
            tokio::time::sleep(PAUSE).await;
        }
    });
    Ok(tasks)
}

fn said(kind: FromAgentKind) -> FromAgent {
    FromAgent { kind: Some(kind) }
}
