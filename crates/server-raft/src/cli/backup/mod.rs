//! `backup create|inspect|list|verify`.

mod create;
mod files;
mod print;
mod spot;

use steeple_cli::{Command, Flag, OUTPUT};

use super::Action;
use super::offline::SETTINGS_FLAGS;
use super::table::{COMMON_FLAGS, remote};
use spot::S3_FLAGS;
pub(super) use spot::{s3_settings_of, with_spot};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "backup create",
        synopsis: "Writes an encrypted backup of the replicated state to a file or a bucket",
        flags: &[COMMON_FLAGS, CREATE_FLAGS, S3_FLAGS],
        action: remote!(create::create),
    },
    Command {
        path: "backup inspect",
        synopsis: "Shows what a backup is and checks its hashes, without the sealing key",
        flags: &[&[PATH, OUTPUT], S3_FLAGS],
        action: Action::Local(files::inspect),
    },
    Command {
        path: "backup list",
        synopsis: "Lists what ends in .backup in a directory or bucket, the latest first",
        flags: &[&[DIR, OUTPUT], S3_FLAGS],
        action: Action::Local(files::list),
    },
    Command {
        path: "backup verify",
        synopsis: "Opens every part of a backup with the sealing key, as restoring it would",
        flags: &[&[PATH, OUTPUT], SETTINGS_FLAGS],
        action: Action::Local(files::verify),
    },
];

const PATH: Flag = Flag::text("path", "The backup file, or s3://BUCKET/PREFIX/NAME");
const DIR: Flag = Flag::text("dir", "The directory with the backups, or s3://BUCKET/PREFIX");

const CREATE_FLAGS: &[Flag] = &[
    Flag::bool("local", "Take what the replica that answers holds, even without a quorum"),
    Flag::text(
        "path",
        "File or s3://BUCKET/PREFIX/NAME to write, which must not exist; by default named after trust domain and time",
    ),
];
