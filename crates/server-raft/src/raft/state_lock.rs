//! The state in memory and its lock.

use std::ops::Deref;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use steeple_state::State;

/// The state of this replica. The writer holds its lock for microseconds; nobody holds it across an `.await`.
///
/// A thread that reads must not ask to read once more: with a writer that came in between, each of the two would wait
/// for the other, and the replica would stand still for ever. Builds with debug assertions panic there, writer or not.
#[derive(Clone, Debug)]
pub struct SharedState(Arc<RwLock<State>>);

/// The state as it is for as long as this lives.
#[derive(Debug)]
pub struct StateRead<'a> {
    state: RwLockReadGuard<'a, State>,
    _once: Once,
}

impl SharedState {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(RwLock::new(state)))
    }

    pub fn read(&self) -> StateRead<'_> {
        let once = Once::of(self);
        StateRead { state: self.0.read(), _once: once }
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        drop(Once::of(self));
        self.0.write()
    }
}

impl Deref for StateRead<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

/// That this thread holds the lock.
#[cfg(not(debug_assertions))]
#[derive(Debug)]
struct Once;

#[cfg(not(debug_assertions))]
impl Once {
    fn of(_: &SharedState) -> Self {
        Self
    }
}

#[cfg(debug_assertions)]
use debug::Once;

#[cfg(debug_assertions)]
mod debug {
    use std::cell::RefCell;

    use super::{Arc, SharedState};

    thread_local! {
        static READ_HERE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }

    #[derive(Debug)]
    pub struct Once(usize);

    impl Once {
        pub fn of(state: &SharedState) -> Self {
            let address = Arc::as_ptr(&state.0).addr();
            READ_HERE.with_borrow_mut(|held| {
                assert!(!held.contains(&address), "this thread reads the state already: with a writer it would hang");
                held.push(address);
            });
            Self(address)
        }
    }

    impl Drop for Once {
        fn drop(&mut self) {
            // Other locks of this thread may go in any order.
            READ_HERE.with_borrow_mut(|held| held.retain(|other| *other != self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_follow_one_another_and_states_do_not_mind_each_other() {
        let (one, other) = (SharedState::new(State::default()), SharedState::new(State::default()));
        for _ in 0..2 {
            let (first, second) = (one.read(), other.read());
            assert_eq!(first.applied_index(), second.applied_index());
        }
        drop(one.write());
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic = "reads the state already"]
    fn reading_what_is_read_is_a_defect() {
        let state = SharedState::new(State::default());
        let _first = state.read();
        let _second = state.clone().read().applied_index();
    }
}
