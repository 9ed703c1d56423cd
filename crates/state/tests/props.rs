//! Promises of the machine under random commands.

mod common;

use common::Replica;
use common::arbitrary::{any_command, any_commands};
use proptest::prelude::*;
use steeple_state::{Command, CommandKind, Outcome, State, Table, codec};

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Rows are the state: reading them back gives the same tables, indexes, hash and answers to retries.
    #[test]
    fn rows_rebuild_the_state(commands in any_commands()) {
        let mut replica = Replica::new();
        for command in &commands {
            replica.apply(command);
        }
        let reloaded = replica.reloaded();
        prop_assert_eq!(reloaded.hash(), replica.state.hash());
        prop_assert!(reloaded == replica.state);
        prop_assert_eq!(reloaded.applied_index(), replica.state.applied_index());
    }

    /// What a backup or a new store is written from is what storage would hold.
    #[test]
    fn the_dumped_rows_are_the_stored_ones(commands in any_commands()) {
        let mut replica = Replica::new();
        for command in &commands {
            replica.apply(command);
        }
        let dumped = replica.state.rows();
        prop_assert_eq!(dumped.len() as u64, replica.state.row_count());
        let row = |((table, key), value): (&(Table, Vec<u8>), &Vec<u8>)| (*table, key.clone(), value.clone());
        let stored: Vec<_> = replica.rows.iter().map(row).collect();
        prop_assert_eq!(dumped, stored);
    }

    /// A replica that restarts between any two commands goes the same way as one that does not.
    #[test]
    fn restarts_change_nothing(commands in any_commands(), restart_after in 0usize..40) {
        let mut steady = Replica::new();
        let mut restarted = Replica::new();
        for (at, command) in commands.iter().enumerate() {
            if at == restart_after {
                restarted.state = restarted.reloaded();
            }
            prop_assert_eq!(steady.apply(command), restarted.apply(command));
        }
        prop_assert_eq!(steady.state.hash(), restarted.state.hash());
    }

    /// Log entries travel as bytes; what is decoded is what was encoded, and has the same effect.
    #[test]
    fn commands_survive_the_log(commands in any_commands()) {
        let bytes = codec::encode_commands(&commands);
        prop_assert_eq!(bytes.len(), 1 + commands.iter().map(codec::command_len).sum::<usize>());
        prop_assert_eq!(codec::decode_commands(&bytes).unwrap(), commands);
    }

    /// A retry is answered with the first outcome and changes no row but the clock's.
    #[test]
    fn retries_repeat_the_outcome(commands in any_commands(), retried in any::<prop::sample::Index>()) {
        let mut replica = Replica::new();
        let outcomes: Vec<Outcome> = commands.iter().map(|command| replica.apply(command).outcome).collect();
        let retried = retried.index(commands.len());
        let hash = replica.state.hash();
        // A stamp that is later than all moves the clock, as any command does.
        let retry = Command { at: replica.state.now(), ..commands[retried].clone() };
        let applied = replica.apply(&retry);
        prop_assert_eq!(&applied.outcome, &outcomes[retried]);
        prop_assert!(applied.changes.is_empty() && applied.events.is_empty());
        prop_assert_eq!(replica.state.hash(), hash);
    }

    #[test]
    fn outcomes_survive_the_wire(commands in any_commands()) {
        let mut replica = Replica::new();
        for command in &commands {
            let outcome = replica.apply(command).outcome;
            prop_assert_eq!(codec::decode_outcome(&codec::encode_outcome(&outcome)).unwrap(), outcome);
        }
    }

    #[test]
    fn the_clock_never_runs_backwards_by_itself(commands in any_commands()) {
        let mut replica = Replica::new();
        for command in &commands {
            let before = replica.state.now();
            let outcome = replica.apply(command).outcome;
            let done = matches!(outcome, Outcome::Pruned { more: false, .. });
            let reset = done && command.kind == CommandKind::ResetClock;
            prop_assert_eq!(replica.state.now(), if reset { command.at } else { before.max(command.at) });
        }
    }

    /// Before the cluster exists nothing can be made, and nothing panics.
    #[test]
    fn commands_before_the_cluster_are_refused_softly(command in any_command()) {
        let mut state = State::new();
        state.apply(1, &command);
        prop_assert_eq!(state.own_bundle(), None);
    }

    #[test]
    fn damaged_log_entries_are_errors(commands in any_commands(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = codec::encode_commands(&commands);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        // Either it is refused, or it means other commands; both without a panic.
        if let Ok(other) = codec::decode_commands(&bytes) {
            prop_assert!(other != commands);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _: Result<Vec<Command>, _> = codec::decode_commands(&bytes);
        let _ = codec::decode_outcome(&bytes);
    }
}
