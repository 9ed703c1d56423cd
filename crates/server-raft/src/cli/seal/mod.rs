//! `seal status|migrate|rotate`: how the sealing key of this server is kept, and the keys under it.

mod key;
mod rotate;

use steeple_cli::{Command, Flag, OUTPUT};

use super::Action;
use super::offline::SETTINGS_FLAGS;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "seal migrate",
        synopsis: "Seals this server's sealing key with the seal that the configuration names",
        flags: &[MIGRATE_FLAGS, SETTINGS_FLAGS],
        action: Action::Local(key::migrate),
    },
    Command {
        path: "seal rotate",
        synopsis: "Replaces the cluster's root key and data key; started again, it follows a rotation under way",
        flags: &[COMMON_FLAGS],
        action: remote!(rotate::rotate),
    },
    Command {
        path: "seal status",
        synopsis: "Shows how this server's sealing key is sealed, and whether the seal opens it",
        flags: &[&[OUTPUT], SETTINGS_FLAGS],
        action: Action::Local(key::status),
    },
];

const MIGRATE_FLAGS: &[Flag] =
    &[Flag::text("fromConfig", "Configuration file with the seal that the key has now; without it, none"), OUTPUT];
