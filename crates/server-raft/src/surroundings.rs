//! What a server stands in. It is handed in, so that a simulation can put its own in the place of the machine's.

use std::sync::Arc;

use steeple_core::{Clock, SystemClock};

use crate::peer::{PeerNetwork, Tcp};
use crate::raft::Threads;

#[derive(Clone)]
pub struct Surroundings {
    pub clock: Arc<dyn Clock>,
    /// The way to the other replicas.
    pub peers: Arc<dyn PeerNetwork>,
    /// Where the consensus runs.
    pub threads: Threads,
    pub storage: steeple_storage::Options,
}

impl Surroundings {
    /// This machine's.
    pub fn real() -> Self {
        let (clock, peers) = (Arc::new(SystemClock), Arc::new(Tcp));
        Self { clock, peers, threads: Threads::Own, storage: steeple_storage::Options::default() }
    }
}
