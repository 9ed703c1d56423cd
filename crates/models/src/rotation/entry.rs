//! What the log holds: authorities, which are numbered in the order of their making.

use steeple_core::{
    AttestedAgent, Authority, AuthorityKind, AuthorityStatus, KeyType, SealedKey, SelectorSet, SpiffeId, Timestamp,
};
use steeple_state::{Attestation, Command, CommandKind, State};

use super::AGENTS;
use super::instant::{BEGINNING, CA_TTL, Instant};
use crate::founded::{founded, run, trust_domain};
use crate::machine::{LogEntry, driven};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    Prepare {
        number: u8,
        at: Instant,
    },
    Activate {
        number: u8,
    },
    /// The first of its rows alone. No server writes it.
    TornActivation {
        number: u8,
    },
}

impl LogEntry for Entry {
    fn command(self) -> Command {
        match self {
            Self::Prepare { number, at } => driven(at.time(), prepare(number, at.time())),
            // The time of the step decides nothing here; the clock never runs backwards.
            Self::Activate { number } | Self::TornActivation { number } => driven(BEGINNING, activate(number)),
        }
    }

    fn is_torn(self) -> bool {
        matches!(self, Self::TornActivation { .. })
    }
}

/// The first authority signs, the agents are attested, and the bundle has the sequence number [`FIRST_SEQUENCE`].
pub fn start() -> State {
    let mut state = founded(BEGINNING);
    run(&mut state, BEGINNING, prepare(FIRST, BEGINNING));
    run(&mut state, BEGINNING, activate(FIRST));
    let elsewhere =
        CommandKind::AppendBundle { x509_authorities: vec![b"elsewhere".to_vec()], jwt_authorities: vec![] };
    run(&mut state, BEGINNING, elsewhere);
    for agent in AGENTS {
        let agent = AttestedAgent {
            id: agent_id(agent),
            attestation_type: "x509pop".to_owned(),
            serial: "1".to_owned(),
            not_after: i64::MAX,
            new_serial: String::new(),
            new_not_after: 0,
            can_reattest: true,
            selectors: SelectorSet::default(),
            agent_version: String::new(),
        };
        let attestation = Attestation { agent, join_token: None, first_use: false };
        run(&mut state, BEGINNING, CommandKind::AttestAgent(attestation));
    }
    state
}

pub fn agent_id(agent: u8) -> SpiffeId {
    trust_domain().member(&format!("/spire/agent/x509pop/{agent}")).expect("a constant")
}

/// Of the bundle that publishes the authority first.
pub fn sequence_of(number: u8) -> u8 {
    FIRST_SEQUENCE + (number - FIRST)
}

pub fn number(id: &str) -> u8 {
    id.parse().expect("an ID that was made here")
}

fn prepare(number: u8, issued_at: Timestamp) -> CommandKind {
    let authority = Authority {
        id: number.to_string(),
        kind: AuthorityKind::X509,
        status: AuthorityStatus::Prepared,
        key_type: KeyType::EcP256,
        issued_at,
        not_after: issued_at.saturating_add(CA_TTL),
        certificate: format!("certificate {number}").into_bytes(),
        upstream_chain: Vec::new(),
        upstream_authority_id: String::new(),
        public_key: format!("public key {number}").into_bytes(),
        key: SealedKey { keyring_term: 1, ciphertext: b"sealed".to_vec() },
        restored: false,
    };
    CommandKind::PrepareAuthority { authority: Box::new(authority), upstream_roots: Vec::new() }
}

fn activate(number: u8) -> CommandKind {
    CommandKind::ActivateAuthority { kind: AuthorityKind::X509, id: number.to_string() }
}

pub const FIRST: u8 = 1;
/// Not 0, which an agent would not report.
pub const FIRST_SEQUENCE: u8 = 1;
/// Subject key id of what signed the agents' certificates; nothing is tainted in this model.
pub const SIGNER: &[u8] = b"signer";
