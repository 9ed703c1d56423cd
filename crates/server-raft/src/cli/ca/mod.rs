//! `ca status|plan|rotate`: the life of the signing authorities. Ours; SPIRE has `localauthority` only, which changes
//! one thing at a time.

mod out_of_reach;
mod plan;
mod rotate;
mod status;
mod turn;
mod wait;

use steeple_cli::{Command, Flag};
use steeple_config::GoDuration;

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "ca plan",
        synopsis: "Shows when authorities will be prepared, activated and forgotten",
        flags: &[
            COMMON_FLAGS,
            &[Flag::text(
                "until",
                "Where the plan ends: 2027-12-31, or a time as in RFC 3339; a year from now if absent",
            )],
        ],
        action: remote!(plan::plan),
    },
    Command {
        path: "ca rotate",
        synopsis: "Replaces the signing authorities; with the same -authorityID it goes on where it stood",
        flags: &[
            COMMON_FLAGS,
            &[
                Flag::duration(
                    "ackWait",
                    GoDuration::from_secs(600),
                    "How long each wait for agents and replicas may last before it goes on without them",
                ),
                Flag::text(
                    "authorityID",
                    "The authority that has to go; if absent, the active one where there is no doubt",
                ),
                Flag::bool("compromised", "Taint and revoke what is replaced, so that nothing it signed is trusted"),
                Flag::text_or("kind", "all", "Which authorities: x509, jwt or all"),
            ],
        ],
        action: remote!(rotate::rotate),
    },
    Command {
        path: "ca status",
        synopsis: "Shows the signing authorities, who does not know them yet, and when they move on",
        flags: &[COMMON_FLAGS],
        action: remote!(status::status),
    },
];
