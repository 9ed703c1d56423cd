//! `federation create|update|show|list|delete|refresh`.

mod change;
mod data;
mod print;
mod query;

use steeple_cli::{Command, Flag};

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "federation create",
        synopsis: "Creates relationships with other trust domains",
        flags: &[COMMON_FLAGS, data::FLAGS],
        action: remote!(change::create),
    },
    Command {
        path: "federation delete",
        synopsis: "Deletes a relationship; the bundle stays",
        flags: &[COMMON_FLAGS, ID],
        action: remote!(change::delete),
    },
    Command {
        path: "federation list",
        synopsis: "Lists relationships",
        flags: &[COMMON_FLAGS],
        action: remote!(query::list),
    },
    Command {
        path: "federation refresh",
        synopsis: "Fetches a trust domain's bundle now",
        flags: &[COMMON_FLAGS, ID],
        action: remote!(query::refresh),
    },
    Command {
        path: "federation show",
        synopsis: "Shows one relationship",
        flags: &[COMMON_FLAGS, &[Flag::text("trustDomain", "Name of the other trust domain")]],
        action: remote!(query::show),
    },
    Command {
        path: "federation update",
        synopsis: "Replaces relationships",
        flags: &[COMMON_FLAGS, data::FLAGS],
        action: remote!(change::update),
    },
];

const ID: &[Flag] = &[Flag::text("id", "The other trust domain")];
