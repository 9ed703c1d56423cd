//! The real state machine as a part of a model's state. A model's state keeps the log; the machine that the log leads
//! to is found here, and is computed once however often a search comes by.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use steeple_core::Timestamp;
use steeple_state::{Command, CommandKind, NO_REQUEST, Outcome, RequestId, RowChange, State};

/// What a model's log holds: so little that two logs are compared at a glance.
pub trait LogEntry: Copy + Debug + Eq + Hash + Send + Sync + 'static {
    fn command(self) -> Command;

    /// A mutant's: of the rows that it changes the first alone is stored.
    fn is_torn(self) -> bool {
        false
    }
}

/// A snapshot of the machine. Two logs that lead to the same rows lead to the same number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Snapshot(usize);

/// All snapshots that a search has come by.
pub struct Machine<E> {
    start: Snapshot,
    known: Mutex<Known<E>>,
}

struct Known<E> {
    states: Vec<Arc<State>>,
    by_hash: HashMap<[u8; 32], Snapshot>,
    steps: HashMap<(Snapshot, E), (Snapshot, Arc<Outcome>)>,
}

impl<E: LogEntry> Machine<E> {
    pub fn new(start: State) -> Self {
        let mut known = Known { states: Vec::new(), by_hash: HashMap::new(), steps: HashMap::new() };
        let start = known.keep(start);
        Self { start, known: Mutex::new(known) }
    }

    /// The machine after `log`.
    pub fn after(&self, log: &[E]) -> Arc<State> {
        let mut known = self.known.lock();
        let last = log.iter().fold(self.start, |snapshot, entry| known.step(snapshot, *entry).0);
        Arc::clone(&known.states[last.0])
    }

    /// What the last entry of `log` came to; `Done` for none.
    pub fn outcome(&self, log: &[E]) -> Arc<Outcome> {
        let mut known = self.known.lock();
        let first = (self.start, Arc::new(Outcome::Done));
        log.iter().fold(first, |(snapshot, _), entry| known.step(snapshot, *entry)).1
    }

    pub fn snapshots(&self) -> usize {
        self.known.lock().states.len()
    }
}

impl<E: LogEntry> Known<E> {
    fn step(&mut self, from: Snapshot, entry: E) -> (Snapshot, Arc<Outcome>) {
        if let Some((to, outcome)) = self.steps.get(&(from, entry)) {
            return (*to, Arc::clone(outcome));
        }
        let mut state = State::clone(&self.states[from.0]);
        let applied = state.apply(state.applied_index() + 1, &entry.command());
        if entry.is_torn() {
            state = torn(&self.states[from.0], &applied.changes);
        }
        let outcome = Arc::new(applied.outcome);
        let to = self.keep(state);
        self.steps.insert((from, entry), (to, Arc::clone(&outcome)));
        (to, outcome)
    }

    fn keep(&mut self, state: State) -> Snapshot {
        let next = Snapshot(self.states.len());
        let snapshot = *self.by_hash.entry(state.hash().to_bytes()).or_insert(next);
        if snapshot == next {
            self.states.push(Arc::new(state));
        }
        snapshot
    }
}

/// The state that the first of `changes` leads to.
fn torn(before: &State, changes: &[RowChange]) -> State {
    let mut rows: BTreeMap<_, _> = before.rows().into_iter().map(|(table, key, value)| ((table, key), value)).collect();
    for RowChange { table, key, value } in changes.iter().take(1).cloned() {
        match value {
            Some(value) => rows.insert((table, key), value),
            None => rows.remove(&(table, key)),
        };
    }
    let rows = rows.into_iter().map(|((table, key), value)| (table, key, value));
    State::from_rows(before.applied_index() + 1, rows).expect("rows of a state")
}

/// A command that is asked for once, and so has a request id.
pub fn requested(request: u8, at: Timestamp, kind: CommandKind) -> Command {
    Command { request_id: request_id(request), at, actor: "model".to_owned(), kind }
}

/// A command of a driver, which may be repeated.
pub fn driven(at: Timestamp, kind: CommandKind) -> Command {
    Command { request_id: NO_REQUEST, at, actor: "model".to_owned(), kind }
}

/// Never [`NO_REQUEST`].
fn request_id(number: u8) -> RequestId {
    let mut id = [0xee; 16];
    id[0] = number;
    id
}
