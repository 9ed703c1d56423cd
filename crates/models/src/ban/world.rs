//! Two replicas of a cluster whose log is taken for granted.

use super::call::{Answer, Call, Step};
use super::{Entry, entry};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// Committed.
    pub log: Vec<Entry>,
    /// How many entries each replica has applied.
    pub applied: [usize; 2],
    pub leader: u8,
    /// Led before and does not know that another one does.
    pub cut_off: Option<u8>,
    pub calls: Vec<Call>,
    pub ban: Ban,
    pub elections: u8,
    pub repeats: u8,
    /// An agent was told that it may not, and it might.
    pub wrongly_denied: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ban {
    Wanted,
    /// At this place of the log.
    Committed(usize),
    Acknowledged,
}

impl World {
    pub fn begin() -> Self {
        Self {
            log: Vec::new(),
            applied: [0, 0],
            leader: 0,
            cut_off: None,
            calls: Vec::new(),
            ban: Ban::Wanted,
            elections: 0,
            repeats: 0,
            wrongly_denied: false,
        }
    }

    /// Serials of SVIDs that the agent was given; it may show any of them.
    pub fn held(&self) -> impl Iterator<Item = u8> {
        let renewed = self.calls.iter().filter_map(|call| match call.step {
            Step::Over(Answer::Renewed(serial)) => Some(serial),
            _ => None,
        });
        std::iter::once(entry::FIRST_SERIAL).chain(renewed)
    }

    /// A new leader applies what it has before it appends.
    pub fn leader_may_write(&self) -> bool {
        self.applied[usize::from(self.leader)] == self.log.len()
    }

    /// Committed, and applied where it was written.
    pub fn write(&mut self, entry: Entry) {
        self.log.push(entry);
        self.applied[usize::from(self.leader)] = self.log.len();
    }

    /// A linearizable read: the replica waits until it has applied what is committed. False for one that is cut off.
    pub fn confirm(&mut self, replica: u8) -> bool {
        if self.cut_off == Some(replica) {
            return false;
        }
        self.applied[usize::from(replica)] = self.log.len();
        true
    }
}
