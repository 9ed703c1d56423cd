//! The replicated state's own forms: commands in the log, outcomes between replicas, rows on disk.

use std::sync::{Arc, LazyLock};

use steeple_core::{JoinToken, Timestamp};
use steeple_state::codec::{decode_commands, decode_outcome, encode_commands, encode_outcome};
use steeple_state::{
    CLUSTER_VERSION_FIRST, ClusterInit, Command, CommandKind, MemberFacts, NO_REQUEST, Outcome, State, StateRow, Table,
};

use super::issued;
use crate::{Verdict, within};

/// Commands come from a log that a peer sent: whatever they say, applying them ends, and gives a state that its own
/// rows describe.
pub fn command(data: &[u8]) -> Verdict {
    let Ok(commands) = within(300, data, || decode_commands(data)) else { return Verdict::Refused };
    assert_eq!(decode_commands(&encode_commands(&commands)).as_ref(), Ok(&commands));
    for before in [State::new(), FOUNDED.clone()] {
        let mut state = before;
        for (index, command) in (10..).zip(&commands) {
            state.apply(index, command);
        }
        let again = State::from_rows(state.applied_index(), state.rows()).expect("rows of the machine's own");
        assert_eq!(again.hash(), state.hash());
    }
    Verdict::Read
}

pub fn command_seeds() -> Vec<Vec<u8>> {
    let token = JoinToken { value: "token".to_owned(), expires_at: EXPIRES_AT };
    let kinds = [
        CommandKind::InitCluster(Box::new(cluster())),
        CommandKind::CreateJoinToken { token, alias: None },
        CommandKind::PruneJoinTokens { before: EXPIRES_AT + 1 },
    ];
    kinds.map(|kind| encode_commands(&[of(kind)])).to_vec()
}

pub fn outcome(data: &[u8]) -> Verdict {
    let Ok(outcome) = within(100, data, || decode_outcome(data)) else { return Verdict::Refused };
    assert_eq!(decode_outcome(&encode_outcome(&outcome)).as_ref(), Ok(&outcome));
    Verdict::Read
}

pub fn outcome_seeds() -> Vec<Vec<u8>> {
    [Outcome::Done, Outcome::Member { node_id: 7 }].map(|outcome| encode_outcome(&outcome)).to_vec()
}

/// Rows as a disk or a snapshot gives them: table, then key and value behind their lengths of two bytes.
pub fn rows(data: &[u8]) -> Verdict {
    let Some(rows) = split(data) else { return Verdict::Refused };
    let Ok(state) = within(300, data, || State::from_rows(1, rows)) else { return Verdict::Refused };
    let again = State::from_rows(1, state.rows()).expect("rows of the machine's own");
    assert_eq!(again.hash(), state.hash());
    assert_eq!(again.rows(), state.rows());
    Verdict::Read
}

pub fn row_seeds() -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    for (table, key, value) in FOUNDED.rows() {
        bytes.push(table.number());
        for field in [key, value] {
            bytes.extend_from_slice(&u16::try_from(field.len()).expect("a short field").to_le_bytes());
            bytes.extend_from_slice(&field);
        }
    }
    vec![bytes]
}

fn split(mut data: &[u8]) -> Option<Vec<StateRow>> {
    let mut rows = Vec::new();
    while let Some((table, rest)) = data.split_first() {
        let (key, rest) = field(rest)?;
        let (value, rest) = field(rest)?;
        rows.push((Table::from_number(*table)?, key.to_vec(), value.to_vec()));
        data = rest;
    }
    Some(rows)
}

fn field(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

/// A cluster with one of everything that a short command makes.
static FOUNDED: LazyLock<State> = LazyLock::new(|| {
    let mut state = State::new();
    let token = JoinToken { value: "first".to_owned(), expires_at: EXPIRES_AT };
    let kinds = [
        CommandKind::InitCluster(Box::new(cluster())),
        CommandKind::CreateJoinToken { token, alias: None },
        CommandKind::SetBundles { bundles: vec![Arc::new(issued::bundle())] },
    ];
    for (index, kind) in (1..).zip(kinds) {
        state.apply(index, &of(kind));
    }
    state
});

/// Unix seconds, of join tokens.
const EXPIRES_AT: i64 = 4_000_000_000;

fn of(kind: CommandKind) -> Command {
    Command { request_id: NO_REQUEST, at: Timestamp::from_secs(1_000), actor: "fuzz".to_owned(), kind }
}

fn cluster() -> ClusterInit {
    ClusterInit {
        cluster_uuid: [7; 16],
        trust_domain: issued::trust_domain(),
        keyring: b"keyring".to_vec(),
        peer_ca: b"peer ca".to_vec(),
        first: MemberFacts {
            storage_uuid: [1; 16],
            name: "node-1".to_owned(),
            peer_address: "node-1:8082".to_owned(),
            api_address: "node-1:8081".to_owned(),
        },
        version: CLUSTER_VERSION_FIRST,
    }
}
