//! `audit verify|show`: the audit files of a replica, with or without a server.

mod files;
mod show;
mod verify;

use steeple_cli::{Command, Flag, OUTPUT};

use super::Action;
use super::table::SOCKET_FLAGS;

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "audit show",
        synopsis: "Shows records of audit files, the oldest first",
        flags: &[SHOW_FLAGS],
        action: Action::Local(show::show),
    },
    Command {
        path: "audit verify",
        synopsis: "Finds what was changed, removed, inserted or cut off in audit files, and exits with 1 then",
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
