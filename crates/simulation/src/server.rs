//! What runs on a server's node: the same assembly as in a process, in simulated surroundings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use steeple_cli::PluginDataFiles;
use steeple_core::Clock;
use steeple_server_raft::assembly::{Assembly, Driven, Parts};
use steeple_server_raft::identity::ServerIdentity;
use steeple_server_raft::own_replica::OwnReplica;
use steeple_server_raft::peer::JoinProgress;
use steeple_server_raft::plugin_host::ExternalPlugins;
use steeple_server_raft::raft::Threads;
use steeple_server_raft::surroundings::Surroundings;
use steeple_transport::serve::{ServeLimits, serve};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::node::Node;
use crate::wire::{ADMIN_PORT, API_PORT, Local, Port, Wire};

/// Until the node loses its power, or the server ends by itself.
pub async fn run(node: Arc<Node>) -> turmoil::Result {
    let why = match live(&node).await {
        Ok(why) => why,
        Err(error) => format!("{error:#}"),
    };
    tracing::warn!(node = node.number, why, "the server ended");
    node.ends(why);
    Ok(())
}

async fn live(node: &Arc<Node>) -> anyhow::Result<String> {
    let clock: Arc<dyn Clock> = Arc::clone(&node.clock) as _;
    let surroundings = Surroundings {
        clock: Arc::clone(&clock),
        peers: Arc::new(Wire),
        threads: Threads::Callers,
        storage: node.disk.options(),
    };
    let syncing = Arc::clone(node);
    tokio::spawn(async move { syncing.disk.sync(syncing.dice(), syncing.sync_max).await });
    let settings = &node.settings;
    while !settings.cluster.bootstrap && !settings.cluster.sealing_key_path.exists() {
        // An operator copies it from the founder.
        sleep(KEY_COPIED_AFTER).await;
    }
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let external = ExternalPlugins::of(settings);
    let parts = Parts::of(settings, &clock, &external, &mut PluginDataFiles::default()).await?;
    let identity = ServerIdentity::new(settings, &clock);
    let own = OwnReplica::start(settings, &surroundings, &JoinProgress::default()).await.context("start")?;
    let replica = own.replica.clone();
    let assembly = Assembly::new(settings, parts, own, identity, &clock, None, (&tasks, &stop))?;
    let driven = assembly.drive(settings, &tasks, &stop);
    node.runs(replica.clone());
    let (follower, followed) = (Arc::clone(node), replica.clone());
    tokio::spawn(async move { follower.follow_leader(followed).await });
    serve_admin(&driven, &stop);
    let mut port = Port::new(API_PORT);
    let serving = async {
        driven.until_it_can_show_itself(&mut port).await?;
        let address = SocketAddr::new(node.ip(), API_PORT);
        driven.serve(settings, (port, address), &tasks, &stop)?;
        std::future::pending::<anyhow::Result<String>>().await
    };
    tokio::select! {
        failed = serving => failed,
        removed = replica.removed() => Ok(removed.to_string()),
        failed = replica.failed() => Ok(failed.to_string()),
        diverged = replica.diverged() => Ok(format!("the state differs from that of a quorum: {diverged:?}")),
    }
}

fn serve_admin(driven: &Driven, stop: &CancellationToken) {
    let (ready, incoming) = mpsc::channel::<Local>(ACCEPTED_WAITING_MAX);
    tokio::spawn(async move {
        let mut port = Port::new(ADMIN_PORT);
        while let Ok(connection) = port.next_local().await {
            if ready.send(connection).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(serve(driven.admin_service(), incoming, ServeLimits::UDS, stop.clone().cancelled_owned()));
}

const KEY_COPIED_AFTER: Duration = Duration::from_millis(100);
const ACCEPTED_WAITING_MAX: usize = 128;
