//! What the log holds, and the agent that it is about.

use steeple_core::{AttestedAgent, SelectorSet, SpiffeId, Timestamp};
use steeple_state::{Attestation, Command, CommandKind, State};

use crate::founded::{founded, run, trust_domain};
use crate::machine::{LogEntry, driven, requested};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    Attest {
        request: u8,
        serial: u8,
    },
    Ban,
    /// No server writes it for an agent that calls.
    Evict,
    Promote {
        serial: u8,
    },
    /// `replaces` no pending one if it is 0.
    Renew {
        request: u8,
        serial: u8,
        replaces: u8,
    },
}

impl LogEntry for Entry {
    fn command(self) -> Command {
        let id = agent_id();
        match self {
            Self::Attest { request, serial } => requested(request, NOW, attest(serial)),
            Self::Ban => requested(0, NOW, CommandKind::BanAgent { id }),
            Self::Evict => driven(NOW, CommandKind::DeleteAgent { id }),
            // As the authorizer proposes it: to repeat it is harmless.
            Self::Promote { serial } => driven(NOW, CommandKind::PromoteSerial { id, serial: serial.to_string() }),
            Self::Renew { request, serial, replaces } => {
                let replaces = Some(if replaces == 0 { String::new() } else { replaces.to_string() });
                let (serial, not_after) = (serial.to_string(), NOW.as_secs() + 7200);
                requested(request, NOW, CommandKind::SetPendingSerial { id, serial, not_after, replaces })
            }
        }
    }
}

/// The agent is attested.
pub fn start() -> State {
    let mut state = founded(NOW);
    run(&mut state, NOW, attest(FIRST_SERIAL));
    state
}

pub fn agent_id() -> SpiffeId {
    trust_domain().member("/spire/agent/sshpop/a").expect("a constant")
}

/// Of a kind that renews, because its data can be used once.
fn attest(serial: u8) -> CommandKind {
    let agent = AttestedAgent {
        id: agent_id(),
        attestation_type: "sshpop".to_owned(),
        serial: serial.to_string(),
        not_after: NOW.as_secs() + 3600,
        new_serial: String::new(),
        new_not_after: 0,
        can_reattest: false,
        selectors: SelectorSet::default(),
        agent_version: String::new(),
    };
    CommandKind::AttestAgent(Attestation { agent, join_token: None, first_use: false })
}

pub const FIRST_SERIAL: u8 = 1;
pub const NOW: Timestamp = Timestamp::from_secs(1_000);
