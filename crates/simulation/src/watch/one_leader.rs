//! Election safety (Raft §5.2): a term has one leader at most.

use std::collections::BTreeMap;

#[derive(Default)]
pub struct OneLeader {
    by_term: BTreeMap<u64, u64>,
}

impl OneLeader {
    pub fn seen(&mut self, term: u64, node_id: u64) -> Result<(), String> {
        match *self.by_term.entry(term).or_insert(node_id) {
            known if known == node_id => Ok(()),
            known => Err(format!("nodes {known} and {node_id} both lead in term {term}")),
        }
    }

    pub fn terms(&self) -> u64 {
        self.by_term.len() as u64
    }
}
