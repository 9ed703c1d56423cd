//! A call of the agent.

use super::Entry;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    pub kind: Kind,
    pub replica: u8,
    /// Of the certificate that the agent shows.
    pub serial: u8,
    /// It began after the ban was acknowledged.
    pub late: bool,
    pub step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Anew, with the node's own proof and without a certificate.
    Attest,
    Renew,
    Svid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Begun,
    LetIn,
    Proposed(Entry),
    /// At this place of the log.
    Committed(Entry, usize),
    Over(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Denied,
    /// With this serial.
    Renewed(u8),
    /// A workload's SVID.
    Signed,
    Unavailable,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Attest, Self::Renew, Self::Svid];
}

impl Call {
    pub fn gave_something(&self) -> bool {
        matches!(self.step, Step::Over(Answer::Renewed(_) | Answer::Signed))
    }
}
