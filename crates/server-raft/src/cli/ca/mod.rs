//! `ca status|plan|rotate`: the life of the signing authorities. Ours; SPIRE has `localauthority` only, which changes
//! one thing at a time.

mod out_of_reach;
mod plan;
mod rotate;
mod status;
mod turn;
mod wait;

use steeple_cli::{Command, Flag, Help};
use steeple_config::GoDuration;

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "ca plan",
        synopsis: "Shows when authorities will be prepared, activated and forgotten",
        help: Help::ours(
            "Shows the coming steps of the signing authorities, as the leader will take them if nothing unforeseen \
             happens: prepare (make and publish), activate (sign from now on; the one before is retired), forget \
             (out of the bundle). For those who pin certificates, and for maintenance windows.",
            &[
                ("The coming year", "steeple-server ca plan"),
                ("Until a date, for a script", "steeple-server ca plan -until 2027-12-31 -output json"),
            ],
        ),
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
        help: Help::ours(
            "Replaces the signing authorities now: prepare, wait until agents and replicas hold the bundle, \
             activate; with -compromised also taint and revoke the old ones. Wanted when a key may have got out, or \
             before a lifetime is changed.",
            &[
                ("Both authorities, in order", "steeple-server ca rotate"),
                ("The key is in foreign hands", "steeple-server ca rotate -compromised"),
                (
                    "Only the JWT key, and wait for two minutes at most each time",
                    "steeple-server ca rotate -kind jwt -ackWait 2m",
                ),
                (
                    "Go on after an interruption, with the ID that it gave at its beginning",
                    "steeple-server ca rotate -kind x509 -authorityID 3f1c9a",
                ),
            ],
        )
        .exit(
            "0 when the rotation is complete; 1 when it stopped: the same command with -authorityID goes on, on \
             any replica.",
        )
        .next("`ca status` shows who holds the new bundle. Those that are named as left behind bootstrap anew."),
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
        help: Help::ours(
            "Shows the signing authorities, who does not hold their bundle yet, and when a prepared one takes over.",
            &[("For people", "steeple-server ca status"), ("For a script", "steeple-server ca status -output json")],
        ),
        flags: &[COMMON_FLAGS],
        action: remote!(status::status),
    },
];
