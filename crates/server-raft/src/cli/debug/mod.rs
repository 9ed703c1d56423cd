//! `debug ...`: what the server is doing, for people and for a support case.

mod archive;
mod bundle;
mod contents;
mod info;

use steeple_cli::{Command, Flag};

use super::Action;
use super::offline::SETTINGS_FLAGS;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "debug bundle",
        synopsis: "Packs state, configuration, metrics and log into one archive, without secrets",
        flags: &[
            COMMON_FLAGS,
            &[
                SETTINGS_FLAGS[0],
                SETTINGS_FLAGS[1],
                Flag::text("path", "The archive (.tar.gz), which must not exist; by default one of today's date"),
            ],
        ],
        action: remote!(bundle::bundle),
    },
    Command {
        path: "debug getinfo",
        synopsis: "Shows uptime, counts and the server's own certificates",
        flags: &[COMMON_FLAGS],
        action: remote!(info::get_info),
    },
];
