//! State machine safety (Raft §5.4.3): what one replica applied at an index, every replica applied there.

use std::collections::BTreeMap;

use steeple_state::StateHash;

#[derive(Default)]
pub struct OneState {
    /// By log index: who was seen there first, and its hash.
    seen: BTreeMap<u64, (usize, StateHash)>,
}

impl OneState {
    pub fn seen(&mut self, server: usize, index: u64, hash: StateHash) -> Result<(), String> {
        let (first, known) = *self.seen.entry(index).or_insert((server, hash));
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_first();
        }
        match known == hash {
            true => Ok(()),
            false => Err(format!("servers {first} and {server} differ at index {index}")),
        }
    }
}

/// A replica that is further behind installs a snapshot.
const SEEN_MAX: usize = 10_000;
