//! `backup create|inspect|list|verify`.

mod create;
mod files;
mod print;

use steeple_cli::{Command, Flag, OUTPUT};

use super::Action;
use super::offline::SETTINGS_FLAGS;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "backup create",
        synopsis: "Writes an encrypted backup of the replicated state to a file",
        flags: &[COMMON_FLAGS, CREATE_FLAGS],
        action: remote!(create::create),
    },
    Command {
        path: "backup inspect",
        synopsis: "Shows what a backup is and checks its hashes, without the sealing key",
        flags: &[&[PATH, OUTPUT]],
        action: Action::Local(files::inspect),
    },
    Command {
        path: "backup list",
        synopsis: "Lists the files of a directory that end in .backup, the latest first",
        flags: &[&[Flag::text("dir", "The directory with the backups"), OUTPUT]],
        action: Action::Local(files::list),
    },
    Command {
        path: "backup verify",
        synopsis: "Opens every part of a backup with the sealing key, as restoring it would",
        flags: &[&[PATH, OUTPUT], SETTINGS_FLAGS],
        action: Action::Local(files::verify),
    },
];

const PATH: Flag = Flag::text("path", "The backup file");

const CREATE_FLAGS: &[Flag] = &[
    Flag::bool("local", "Take what the replica that answers holds, even without a quorum"),
    Flag::text("path", "File to write, which must not exist; by default named after trust domain and time"),
];
