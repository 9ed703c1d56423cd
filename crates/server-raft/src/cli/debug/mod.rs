//! `debug ...`: what the server is doing, for people and for a support case.

mod archive;
mod bundle;
mod contents;
mod info;

use steeple_cli::{Command, Flag, Help};

use super::Action;
use super::offline::SETTINGS_FLAGS;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "debug bundle",
        synopsis: "Packs state, configuration, metrics and log into one archive, without secrets",
        help: Help::ours(
            "Packs state, configuration, metrics and log of one replica into an archive for somebody who was not \
             there, without secrets. Take one on each replica.",
            &[
                (
                    "With configuration, metrics and log, also of a server that does not answer",
                    "steeple-server debug bundle -config /etc/steeple/server.conf -path case.tar.gz",
                ),
                ("What the admin socket tells", "steeple-server debug bundle"),
            ],
        )
        .next("Look through it before you pass it on: names and addresses are in it."),
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
        help: Help::spire(
            "Shows uptime, counts and the server's own certificates.",
            &[
                ("For people", "steeple-server debug getinfo"),
                ("For a script", "steeple-server debug getinfo -output json"),
            ],
        ),
        flags: &[COMMON_FLAGS],
        action: remote!(info::get_info),
    },
];
