//! What the log holds, and the agent that a token makes.

use steeple_core::{AttestedAgent, JoinToken, SelectorSet, SpiffeId, Timestamp};
use steeple_state::{Attestation, Command, CommandKind, State, join_token_digest};

use crate::founded::{founded, trust_domain};
use crate::machine::{LogEntry, driven, requested};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    Create {
        request: u8,
    },
    Attest {
        request: u8,
        serial: u8,
        takes_token: bool,
    },
    /// No server writes it.
    DeleteToken,
}

impl LogEntry for Entry {
    fn command(self) -> Command {
        match self {
            Self::Create { request } => {
                let token = JoinToken { value: named(), expires_at: NOW.as_secs() + 600 };
                requested(request, NOW, CommandKind::CreateJoinToken { token, alias: None })
            }
            Self::Attest { request, serial, takes_token } => {
                let join_token = takes_token.then(named);
                let attestation = Attestation { agent: agent(serial), join_token, first_use: false };
                requested(request, NOW, CommandKind::AttestAgent(attestation))
            }
            Self::DeleteToken => driven(NOW, CommandKind::PruneJoinTokens { before: i64::MAX }),
        }
    }
}

pub fn start() -> State {
    founded(NOW)
}

/// As a replica names it in the log.
fn named() -> String {
    join_token_digest(&trust_domain(), TOKEN)
}

/// The token is in its ID, so that each token has one agent at most.
pub fn agent_id() -> SpiffeId {
    trust_domain().member(&format!("/spire/agent/join_token/{TOKEN}")).expect("a constant")
}

fn agent(serial: u8) -> AttestedAgent {
    AttestedAgent {
        id: agent_id(),
        attestation_type: "join_token".to_owned(),
        serial: serial.to_string(),
        not_after: NOW.as_secs() + 3600,
        new_serial: String::new(),
        new_not_after: 0,
        can_reattest: false,
        selectors: SelectorSet::default(),
        agent_version: String::new(),
    }
}

pub const TOKEN: &str = "token";
const NOW: Timestamp = Timestamp::from_secs(1_000);
