//! What an entry does, as a specification: a register that can be absent.

use serde::{Deserialize, Serialize};

/// A value that is written once.
pub(crate) type Value = u64;

/// `None`: there is no such entry.
pub(super) type State = Option<Value>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub(crate) enum Call {
    Create { value: Value },
    Update { value: Value },
    Delete,
    Get,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It did what it was called for.
    Done,
    /// There is no such entry.
    Absent,
    /// What a read found, or a create that came too late.
    Holds { value: Value },
}

impl Call {
    pub(crate) fn is_write(self) -> bool {
        self != Self::Get
    }
}

/// The state after `call` had `outcome`; `None` if it cannot have it in this state.
pub(super) fn step(state: State, call: Call, outcome: Outcome) -> Option<State> {
    match (call, state, outcome) {
        (Call::Create { value }, None, Outcome::Done) | (Call::Update { value }, Some(_), Outcome::Done) => {
            Some(Some(value))
        }
        (Call::Delete, Some(_), Outcome::Done) => Some(None),
        (Call::Update { .. } | Call::Delete | Call::Get, None, Outcome::Absent) => Some(state),
        (Call::Create { .. } | Call::Get, Some(value), Outcome::Holds { value: found }) if found == value => {
            Some(state)
        }
        _ => None,
    }
}

/// The state after `call` took effect and nobody knows its outcome.
pub(super) fn take_effect(state: State, call: Call) -> State {
    match (call, state) {
        (Call::Create { value }, None) | (Call::Update { value }, Some(_)) => Some(value),
        (Call::Delete, Some(_)) => None,
        _ => state,
    }
}
