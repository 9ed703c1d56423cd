//! Thousands of agents in one process: each attests with a certificate of its own and holds one connection.

mod agent;
mod attest;
mod dial;
mod follow;
mod poll;
mod push;
mod tls;
mod traffic;

use std::sync::Arc;

use futures::stream::{StreamExt as _, TryStreamExt as _, iter};
use steeple_testkit::NodeCertificateAuthority;

pub use agent::Group;
pub(crate) use agent::{Agent, CALL_MAX, Domain, KeyAndCsr, Node};
pub(crate) use dial::repeated;
pub use follow::Sync;
pub(crate) use follow::{Change, Followers, Known, Observer};
pub(crate) use poll::sync;
pub(crate) use traffic::{Carried, Traffic};

use crate::report::Progress;

/// The most agents that one process drives: as many sockets, and as many addresses in 127.0.0.0/8.
pub(crate) const AGENTS_MAX: usize = 10_000;

/// Attests `count` agents; `name` gives the common name of each node's certificate.
pub(crate) async fn attest_all(
    count: usize,
    name: impl Fn(usize) -> String,
    authority: &NodeCertificateAuthority,
    domain: &Domain,
    progress: &Progress,
) -> anyhow::Result<Vec<Arc<Agent>>> {
    progress.step(format!("attesting {count} agents"), count as u64);
    let nodes = (0..count).map(|number| Node::new(number, &name(number), authority, domain));
    let mut agents: Vec<Arc<Agent>> = iter(nodes)
        .map(|node| async {
            let agent = Agent::join(node?, domain).await?;
            progress.add(1);
            anyhow::Ok(Arc::new(agent))
        })
        .buffer_unordered(ATTESTING)
        .try_collect()
        .await?;
    agents.sort_unstable_by_key(|agent| agent.number);
    Ok(agents)
}

/// At one time; more only wait for each other.
const ATTESTING: usize = 64;
