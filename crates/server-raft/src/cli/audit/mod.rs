//! `audit verify|show`: the audit files of a replica, with or without a server.

mod files;
mod show;
mod verify;

use steeple_cli::{Command, Flag, Help, OUTPUT};

use super::Action;
use super::table::SOCKET_FLAGS;

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "audit show",
        synopsis: "Shows records of audit files, the oldest first",
        help: Help::ours(
            "Prints records of audit files, the oldest first, filtered by method, caller, status and time. It asks \
             no server and checks no hash: that is `audit verify`.",
            &[
                (
                    "Who deleted entries yesterday",
                    "steeple-server audit show -file /var/log/steeple/audit.log -method BatchDeleteEntry -from \
                     2026-12-30T00:00:00Z",
                ),
                (
                    "What was refused, for a script",
                    "steeple-server audit show -file /var/log/steeple/audit.log -status PermissionDenied -limit 0 \
                     -output json",
                ),
                (
                    "Whether this cluster began anew, and from what",
                    "steeple-server audit show -file /var/log/steeple/audit.log -method 'recover apply'",
                ),
            ],
        ),
        flags: &[SHOW_FLAGS],
        action: Action::Local(show::show),
    },
    Command {
        path: "audit verify",
        synopsis: "Finds what was changed, removed, inserted or cut off in audit files, and exits with 1 then",
        help: Help::ours(
            "Finds what was changed, removed, inserted or cut off in audit files, and compares them with the anchors \
             that the cluster keeps. Run it regularly, and on copies that left the machine.",
            &[
                ("The files of the replica that answers, against the cluster", "steeple-server audit verify"),
                ("One chain alone, without a server", "steeple-server audit verify -file /var/log/steeple/audit.log"),
                (
                    "Copies, the oldest first, against another replica",
                    "steeple-server audit verify -file audit.log.1 -file audit.log -socketPath /run/steeple/api.sock",
                ),
            ],
        )
        .exit("1 when anything is wrong, with file, line and kind of each break; 0 when nothing is.")
        .next(
            "A break is told with the range of records that it hides: compare it with copies of the files, and \
             with docs/audit.md, which says what each kind proves.",
        ),
        flags: &[&[FILE, OUTPUT], SOCKET_FLAGS],
        action: Action::Local(verify::verify),
    },
];

const FILE: Flag = Flag::texts(
    "file",
    "An audit file; with one, those rotated away beside it as well; without, those of the server that answers",
);
const SHOW_FLAGS: &[Flag] = &[
    FILE,
    Flag::text("caller", "Only calls of this SPIFFE ID, address or user number"),
    Flag::text("from", "Only what is as late as this time or later (RFC 3339)"),
    Flag::int("limit", 1_000, "The latest of those that fit; 0 is all"),
    Flag::text("method", "Only calls of this method, such as BatchCreateEntry"),
    Flag::text("status", "Only calls with this status: success or error, or a code such as PermissionDenied"),
    Flag::text("until", "Only what is as early as this time or earlier (RFC 3339)"),
    OUTPUT,
];
