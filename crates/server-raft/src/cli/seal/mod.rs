//! `seal status|migrate|new-key|rotate`: how the sealing key is kept and replaced, and the keys under it.

mod key;
mod new_key;
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
        path: "seal new-key",
        synopsis: "Replaces the cluster's sealing key while it serves, once every member keeps the new one beside its \
                   own; started again, it follows a change under way. Backups made before it need the old key: copy \
                   its file first",
        flags: &[NEW_KEY_FLAGS, COMMON_FLAGS],
        action: remote!(new_key::new_key),
    },
    Command {
        path: "seal rotate",
        synopsis: "Replaces the cluster's root key and data key; started again, it follows a rotation under way",
        flags: &[COMMON_FLAGS],
        action: remote!(rotate::rotate),
    },
    Command {
        path: "seal status",
        synopsis: "Shows how this server's sealing key is sealed, whether it opens, and for whom a new one waits",
        flags: &[&[OUTPUT], SETTINGS_FLAGS],
        action: Action::Local(key::status),
    },
];

const NEW_KEY_FLAGS: &[Flag] =
    &[Flag::bool("cancel", "Gives up the new key that is under way; the one in force stays, on every member")];

const MIGRATE_FLAGS: &[Flag] =
    &[Flag::text("fromConfig", "Configuration file with the seal that the key has now; without it, none"), OUTPUT];
