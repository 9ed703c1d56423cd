//! `seal status|migrate|new-key|rotate`: how the sealing key is kept and replaced, and the keys under it.

mod key;
mod new_key;
mod rotate;

use steeple_cli::{Command, Flag, Help, OUTPUT};

use super::Action;
use super::offline::SETTINGS_FLAGS;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "seal migrate",
        synopsis: "Seals this server's sealing key with the seal that the configuration names",
        help: Help::ours(
            "Seals this server's sealing key with the seal that the configuration names, in place of the one that it \
             has. Each server by itself; the key stays the same.",
            &[
                (
                    "From a plain file to the seal of the configuration",
                    "steeple-server seal migrate -config /etc/steeple/server.conf",
                ),
                (
                    "From one seal to another",
                    "steeple-server seal migrate -config /etc/steeple/server.conf -fromConfig /etc/steeple/old.conf",
                ),
            ],
        )
        .next("Restart the server with that configuration, and delete copies of the old file."),
        flags: &[MIGRATE_FLAGS, SETTINGS_FLAGS],
        action: Action::Local(key::migrate),
    },
    Command {
        path: "seal new-key",
        synopsis: "Replaces the cluster's sealing key while it serves, once every member keeps the new one beside its \
                   own; started again, it follows a change under way. Backups made before it need the old key: copy \
                   its file first",
        help: Help::ours(
            "Replaces the cluster's sealing key while it serves, once every member keeps the new one beside its own; \
             started again, it follows a change under way. Wanted when somebody who had the key has left.",
            &[
                ("Replace it", "steeple-server seal new-key"),
                ("Give up a change that a member holds up", "steeple-server seal new-key -cancel"),
            ],
        )
        .exit("1 when it was given up or stopped: run it again to follow the change.")
        .next(
            "Copy a new file beside the backups; backups made before need the old key. If the old one got out: \
             `seal rotate`, and `ca rotate -compromised`.",
        ),
        flags: &[NEW_KEY_FLAGS, COMMON_FLAGS],
        action: remote!(new_key::new_key),
    },
    Command {
        path: "seal rotate",
        synopsis: "Replaces the cluster's root key and data key; started again, it follows a rotation under way",
        help: Help::ours(
            "Replaces the cluster's root key and data key, under which private keys are sealed, while it serves; \
             started again, it follows a rotation under way. As often as your rules ask for it, and before a disk or \
             backup leaves the house.",
            &[
                ("Replace them", "steeple-server seal rotate"),
                ("For a script", "steeple-server seal rotate -output json"),
            ],
        )
        .exit("0 when the older keys are gone; 1 when it stopped, as without a quorum: the same command goes on."),
        flags: &[COMMON_FLAGS],
        action: remote!(rotate::rotate),
    },
    Command {
        path: "seal status",
        synopsis: "Shows how this server's sealing key is sealed, whether it opens, and for whom a new one waits",
        help: Help::ours(
            "Shows how this server's sealing key is sealed, whether the seal opens, and for whom a new one waits. It \
             reads the file, and asks the server only if one runs.",
            &[("Of the packaged server", "steeple-server seal status -config /etc/steeple/server.conf")],
        )
        .exit("1 when the seal does not open: the server could not restart."),
        flags: &[&[OUTPUT], SETTINGS_FLAGS],
        action: Action::Local(key::status),
    },
];

const NEW_KEY_FLAGS: &[Flag] =
    &[Flag::bool("cancel", "Gives up the new key that is under way; the one in force stays, on every member")];

const MIGRATE_FLAGS: &[Flag] =
    &[Flag::text("fromConfig", "Configuration file with the seal that the key has now; without it, none"), OUTPUT];
