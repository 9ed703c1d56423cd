//! What clients asked and were answered, and what must not be by that account alone. Pure.

mod agents;
mod register;

use std::collections::{BTreeMap, BTreeSet};

pub use agents::{Agents, Held, Svid};
pub use register::{Reading, Register};

#[derive(Debug, Default)]
pub struct Ledger {
    pub entries: BTreeMap<String, Register>,
    pub agents: Agents,
    serials: BTreeSet<Vec<u8>>,
    /// Who attested with which token.
    tokens: BTreeMap<String, String>,
    pub calls: BTreeMap<&'static str, u64>,
}

impl Ledger {
    pub fn count(&mut self, what: &'static str) {
        *self.calls.entry(what).or_default() += 1;
    }

    /// Serial numbers are unique over the life of a cluster.
    pub fn issued(&mut self, serial: &[u8]) -> Result<(), String> {
        match self.serials.insert(serial.to_vec()) {
            true => Ok(()),
            false => Err(format!("serial number {} was issued twice", hex::encode(serial))),
        }
    }

    /// A token lets one agent in. `who` is the key that it was used with.
    pub fn attested(&mut self, token: &str, who: &str) -> Result<(), String> {
        match self.tokens.insert(token.to_owned(), who.to_owned()) {
            Some(before) if before != who => {
                Err(format!("join token {token} let in {who} after it had let in {before}"))
            }
            _ => Ok(()),
        }
    }
}
