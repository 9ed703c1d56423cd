//! `agent list|show|count|ban|evict|purge`.

mod by_id;
mod count;
mod filter;
mod list;
mod print;
mod purge;

pub(super) use list::fetch_all;
use steeple_cli::Command;

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "agent ban",
        synopsis: "Bans an agent: it keeps its record and can never attest again",
        flags: &[COMMON_FLAGS, by_id::FLAGS],
        action: remote!(by_id::ban),
    },
    Command {
        path: "agent count",
        synopsis: "Counts attested agents",
        flags: &[COMMON_FLAGS, filter::FLAGS],
        action: remote!(count::count),
    },
    Command {
        path: "agent evict",
        synopsis: "Removes an agent: it has to attest again",
        flags: &[COMMON_FLAGS, by_id::FLAGS],
        action: remote!(by_id::evict),
    },
    Command {
        path: "agent list",
        synopsis: "Lists attested agents",
        flags: &[COMMON_FLAGS, filter::FLAGS],
        action: remote!(list::list),
    },
    Command {
        path: "agent purge",
        synopsis: "Removes agents that expired some time ago and are able to attest again",
        flags: &[COMMON_FLAGS, purge::FLAGS],
        action: remote!(purge::purge),
    },
    Command {
        path: "agent show",
        synopsis: "Shows one agent with its selectors",
        flags: &[COMMON_FLAGS, by_id::FLAGS],
        action: remote!(by_id::show),
    },
];
