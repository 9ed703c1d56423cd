//! `entry create|update|show|count|delete`, and our own `entry apply` and `entry watch`.

mod apply;
mod change;
mod count;
mod create;
mod data;
mod delete;
mod filter;
pub(super) mod pages;
mod print;
mod show;
mod update;
mod watch;

use steeple_cli::Command;

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "entry apply",
        synopsis: "Brings registration entries to what files say",
        flags: &[COMMON_FLAGS, apply::FLAGS],
        action: remote!(apply::apply),
    },
    Command {
        path: "entry count",
        synopsis: "Counts registration entries",
        flags: &[COMMON_FLAGS, filter::FLAGS],
        action: remote!(count::count),
    },
    Command {
        path: "entry create",
        synopsis: "Creates registration entries",
        flags: &[COMMON_FLAGS, change::FLAGS, create::FLAGS],
        action: remote!(create::create),
    },
    Command {
        path: "entry delete",
        synopsis: "Deletes registration entries",
        flags: &[COMMON_FLAGS, delete::FLAGS],
        action: remote!(delete::delete),
    },
    Command {
        path: "entry show",
        synopsis: "Shows registration entries",
        flags: &[COMMON_FLAGS, filter::FLAGS, show::FLAGS],
        action: remote!(show::show),
    },
    Command {
        path: "entry update",
        synopsis: "Replaces registration entries",
        flags: &[COMMON_FLAGS, change::FLAGS],
        action: remote!(update::update),
    },
    Command {
        path: "entry watch",
        synopsis: "Prints changes of registration entries as they happen, until it is interrupted",
        flags: &[COMMON_FLAGS, filter::FLAGS, watch::FLAGS],
        action: remote!(watch::watch),
    },
];
