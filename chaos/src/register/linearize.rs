//! Whether operations on one register fit one order in which each takes effect at an instant between its call and its
//! answer: the search of Wing and Gong, with the states that Lowe remembers.
//!
//! An operation whose outcome is not known may take effect at any time after its call, also after the last answer, or
//! never. The search is bounded; what it cannot decide within the bound is no pass.

use std::collections::HashSet;

use super::model::{Call, Outcome, State, step, take_effect};

/// One call of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) called_at: u64,
    pub(super) call: Call,
    /// When the answer came and what it was; `None` if that is open.
    pub(super) returned: Option<(u64, Outcome)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Linearizable,
    NotLinearizable,
    /// The search was longer than its bound.
    Unknown,
}

/// Configurations that are looked at for one register. An ordinary history needs a few hundred.
pub(super) const SEARCH_MAX: usize = 2_000_000;

/// Judges the operations on one register, which is absent at first.
pub(super) fn linearize(operations: &[Operation], search_max: usize) -> Answer {
    let mut operations: Vec<Operation> = operations.iter().copied().filter(is_of_interest).collect();
    operations.sort_by_key(|operation| operation.called_at);
    let mut seen: HashSet<Configuration> = HashSet::new();
    let mut open = vec![Configuration { done: Done::none(operations.len()), state: None }];
    while let Some(mut at) = open.pop() {
        take_harmless(&operations, &mut at);
        if operations.iter().enumerate().all(|(position, op)| op.returned.is_none() || at.done.holds(position)) {
            return Answer::Linearizable;
        }
        if !seen.insert(at.clone()) {
            continue;
        }
        if seen.len() > search_max {
            return Answer::Unknown;
        }
        // The last one that is pushed is looked at first: those that have an answer, by the time of their call.
        let next: Vec<usize> = candidates(&operations, &at.done).collect();
        let (answered, unanswered): (Vec<usize>, Vec<usize>) =
            next.into_iter().partition(|position| operations[*position].returned.is_some());
        for position in unanswered.into_iter().chain(answered.into_iter().rev()) {
            let operation = &operations[position];
            let after = match operation.returned {
                Some((_, outcome)) => step(at.state, operation.call, outcome),
                None => Some(take_effect(at.state, operation.call)).filter(|after| *after != at.state),
            };
            if let Some(state) = after {
                open.push(Configuration { done: at.done.with(position), state });
            }
        }
    }
    Answer::NotLinearizable
}

/// What has taken effect, and what the register is then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Configuration {
    done: Done,
    state: State,
}

/// A set of positions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn none(size: usize) -> Self {
        Self(vec![0; size.div_ceil(64)])
    }

    fn holds(&self, position: usize) -> bool {
        self.0[position / 64] & (1 << (position % 64)) != 0
    }

    fn insert(&mut self, position: usize) {
        self.0[position / 64] |= 1 << (position % 64);
    }

    fn with(&self, position: usize) -> Self {
        let mut with = self.clone();
        with.insert(position);
        with
    }
}

/// A read without an answer says nothing.
fn is_of_interest(operation: &Operation) -> bool {
    operation.returned.is_some() || operation.call.is_write()
}

/// Those that may be the next to take effect: called before any that is not done had its answer.
fn candidates<'o>(operations: &'o [Operation], done: &'o Done) -> impl Iterator<Item = usize> + 'o {
    let waiting = |(position, _): &(usize, &Operation)| !done.holds(*position);
    let first_answer =
        operations.iter().enumerate().filter(waiting).filter_map(|(_, op)| op.returned).map(|(at, _)| at).min();
    let before = move |operation: &Operation| first_answer.is_none_or(|at| operation.called_at <= at);
    operations.iter().enumerate().filter(waiting).filter(move |(_, op)| before(op)).map(|(position, _)| position)
}

/// What changes nothing and fits now can take effect now: no order is lost by that.
fn take_harmless(operations: &[Operation], at: &mut Configuration) {
    loop {
        let harmless = |position: &usize| {
            let operation = &operations[*position];
            let stays = |(_, outcome)| step(at.state, operation.call, outcome) == Some(at.state);
            operation.returned.is_some_and(stays) && !is_rewrite(operation)
        };
        let Some(position) = candidates(operations, &at.done).find(harmless) else { return };
        at.done.insert(position);
    }
}

/// A write that was done changes the register, also where it writes what is there.
fn is_rewrite(operation: &Operation) -> bool {
    operation.call.is_write() && matches!(operation.returned, Some((_, Outcome::Done)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: u64 = 1;
    const TWO: u64 = 2;

    fn op(called_at: u64, returned_at: u64, call: Call, outcome: Outcome) -> Operation {
        Operation { called_at, call, returned: Some((returned_at, outcome)) }
    }

    fn lost(called_at: u64, call: Call) -> Operation {
        Operation { called_at, call, returned: None }
    }

    fn create(value: u64) -> Call {
        Call::Create { value }
    }

    fn update(value: u64) -> Call {
        Call::Update { value }
    }

    fn holds(value: u64) -> Outcome {
        Outcome::Holds { value }
    }

    fn judge(operations: &[Operation]) -> Answer {
        linearize(operations, SEARCH_MAX)
    }

    use Outcome::{Absent, Done};

    #[test]
    fn histories_that_a_correct_cluster_has() {
        let good: [&[Operation]; 7] = [
            &[],
            &[op(0, 1, Call::Get, Absent), op(2, 3, create(ONE), Done), op(4, 5, Call::Get, holds(ONE))],
            // A read during a write may see it or not.
            &[op(0, 9, create(ONE), Done), op(1, 2, Call::Get, Absent), op(3, 4, Call::Get, holds(ONE))],
            // Of two creates at once one comes too late.
            &[op(0, 9, create(ONE), Done), op(0, 9, create(TWO), holds(ONE))],
            &[op(0, 1, create(ONE), Done), op(2, 3, Call::Delete, Done), op(4, 5, Call::Delete, Absent)],
            // Without an answer it may take effect late.
            &[
                op(0, 1, create(ONE), Done),
                lost(2, update(TWO)),
                op(3, 4, Call::Get, holds(ONE)),
                op(5, 6, Call::Get, holds(TWO)),
            ],
            // Or never.
            &[lost(0, create(ONE)), op(1, 2, Call::Get, Absent), op(3, 4, update(TWO), Absent)],
        ];
        for history in good {
            assert_eq!(judge(history), Answer::Linearizable, "{history:?}");
        }
    }

    #[test]
    fn histories_that_no_correct_cluster_has() {
        let bad: [&[Operation]; 9] = [
            // A lost write.
            &[op(0, 1, create(ONE), Done), op(2, 3, Call::Get, Absent)],
            // A stale read.
            &[op(0, 1, create(ONE), Done), op(2, 3, update(TWO), Done), op(4, 5, Call::Get, holds(ONE))],
            // A value that nobody wrote.
            &[op(0, 1, create(ONE), Done), op(2, 3, Call::Get, holds(TWO))],
            // A read from the future.
            &[op(0, 1, Call::Get, holds(ONE)), op(2, 3, create(ONE), Done)],
            // What was deleted comes back.
            &[op(0, 1, create(ONE), Done), op(2, 3, Call::Delete, Done), op(4, 5, Call::Get, holds(ONE))],
            // Two creates of one entry, both done.
            &[op(0, 9, create(ONE), Done), op(0, 9, create(TWO), Done)],
            // Two readers see two writes in different orders.
            &[
                op(0, 1, create(9), Done),
                op(2, 20, update(ONE), Done),
                op(2, 20, update(TWO), Done),
                op(3, 4, Call::Get, holds(ONE)),
                op(5, 6, Call::Get, holds(TWO)),
                op(7, 8, Call::Get, holds(ONE)),
            ],
            // A read that was seen to be new is followed by one that is old.
            &[
                op(0, 1, create(ONE), Done),
                lost(2, update(TWO)),
                op(3, 4, Call::Get, holds(TWO)),
                op(5, 6, Call::Get, holds(ONE)),
            ],
            // A write without an answer takes effect before its call.
            &[op(0, 1, create(ONE), Done), op(2, 3, Call::Get, holds(TWO)), lost(4, update(TWO))],
        ];
        for history in bad {
            assert_eq!(judge(history), Answer::NotLinearizable, "{history:?}");
        }
    }

    #[test]
    fn what_is_too_long_to_search_is_unknown() {
        let many: Vec<Operation> = (0..12).map(|value| lost(0, update(value + 2))).collect();
        let history = [vec![op(0, 1, create(ONE), Done)], many, vec![op(50, 51, Call::Get, holds(999))]].concat();
        assert_eq!(linearize(&history, 100), Answer::Unknown);
        assert_eq!(judge(&history), Answer::NotLinearizable);
    }

    /// Every order is tried, without any cleverness.
    fn by_all_orders(operations: &[Operation], done: &mut Vec<bool>, state: State) -> bool {
        let left = |done: &[bool]| (0..operations.len()).filter(|at| !done[*at]).collect::<Vec<_>>();
        if left(done).iter().all(|at| operations[*at].returned.is_none()) {
            return true;
        }
        for at in left(done) {
            let operation = operations[at];
            let overtakes = left(done).iter().any(|other| {
                operations[*other].returned.is_some_and(|(returned_at, _)| returned_at < operation.called_at)
            });
            let after = match operation.returned {
                Some((_, outcome)) => step(state, operation.call, outcome),
                None => Some(take_effect(state, operation.call)),
            };
            if let (false, Some(after)) = (overtakes, after) {
                done[at] = true;
                if by_all_orders(operations, done, after) {
                    return true;
                }
                done[at] = false;
            }
        }
        false
    }

    fn any_operation() -> impl Strategy<Value = Operation> {
        let call = prop_oneof![
            (1..4_u64).prop_map(create),
            (1..4_u64).prop_map(update),
            Just(Call::Delete),
            Just(Call::Get),
            Just(Call::Get)
        ];
        let outcome = prop_oneof![Just(Done), Just(Absent), (1..4_u64).prop_map(holds)];
        (0..20_u64, 0..8_u64, call, proptest::option::weighted(0.8, outcome)).prop_map(
            |(called_at, lasts, call, outcome)| Operation {
                called_at,
                call,
                returned: outcome.map(|outcome| (called_at + lasts, outcome)),
            },
        )
    }

    /// What clients see of a register that is one: each operation takes effect at its own instant, calls and answers
    /// are around it, and some answers are lost.
    fn true_history() -> impl Strategy<Value = Vec<Operation>> {
        let call = prop_oneof![3 => Just(0), 2 => Just(1), 1 => Just(2), 4 => Just(3)];
        let one = (call, 0..30_u64, 0..30_u64, proptest::bool::weighted(0.1));
        proptest::collection::vec(one, 0..60).prop_map(|drawn| {
            let mut state = None;
            let mut operations = Vec::new();
            for (at, (kind, before, after, is_lost)) in drawn.into_iter().enumerate() {
                let (instant, value) = (100 + 10 * at as u64, at as u64);
                let call = [create(value), update(value), Call::Delete, Call::Get][kind];
                let outcome = match (call, state) {
                    (Call::Create { .. } | Call::Get, Some(value)) => holds(value),
                    (Call::Update { .. } | Call::Delete | Call::Get, None) => Absent,
                    _ => Done,
                };
                state = take_effect(state, call);
                let returned = (!is_lost).then_some((instant + after, outcome));
                operations.push(Operation { called_at: instant - before, call, returned });
            }
            operations
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn it_agrees_with_the_trial_of_all_orders(operations in proptest::collection::vec(any_operation(), 0..6)) {
            let expected = by_all_orders(&operations, &mut vec![false; operations.len()], None);
            let found = judge(&operations) == Answer::Linearizable;
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn a_true_history_passes(operations in true_history()) {
            prop_assert_eq!(judge(&operations), Answer::Linearizable);
        }

        #[test]
        fn a_read_of_what_was_never_written_never_passes(mut operations in true_history(), at in 0..1_000_u64) {
            operations.push(op(at, at + 5, Call::Get, holds(1_000_000)));
            prop_assert_eq!(judge(&operations), Answer::NotLinearizable);
        }
    }
}
