//! `backup create|inspect|list|verify`.

mod create;
mod files;
mod print;
mod spot;

use steeple_cli::{Command, Flag, Help, OUTPUT};

use super::Action;
use super::offline::SETTINGS_FLAGS;
use super::table::{COMMON_FLAGS, remote};
use spot::S3_FLAGS;
pub(super) use spot::{s3_settings_of, with_spot};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "backup create",
        synopsis: "Writes an encrypted backup of the replicated state to a file or a bucket",
        help: Help::ours(
            "Writes one encrypted, consistent backup of the replicated state to a file or a bucket, while the \
             servers serve. Any replica will do; without a quorum add -local.",
            &[
                ("To a file, which must not exist", "steeple-server backup create -path /mnt/backups/monday.backup"),
                (
                    "To a bucket",
                    "steeple-server backup create -path s3://backups/prod/monday.backup -config \
                     /etc/steeple/server.conf",
                ),
                (
                    "What this replica has, although there is no quorum",
                    "steeple-server backup create -local -path /mnt/backups/last.backup",
                ),
            ],
        )
        .exit(
            "0 when the backup is complete, was read back and is on the disk; 1 when there is none, and then no \
             file either.",
        )
        .next(
            "Keep a copy of the sealing key elsewhere: it is not in the backup, and opens it. `backup verify` \
             tells whether the copy is the right one.",
        ),
        flags: &[COMMON_FLAGS, CREATE_FLAGS, S3_FLAGS],
        action: remote!(create::create),
    },
    Command {
        path: "backup inspect",
        synopsis: "Shows what a backup is and checks its hashes, without the sealing key",
        help: Help::ours(
            "Shows what a backup is (trust domain, cluster, time, counts) and checks its hashes. It needs no sealing \
             key and no server.",
            &[
                ("A file", "steeple-server backup inspect -path /mnt/backups/monday.backup"),
                (
                    "In a bucket, for a script",
                    "steeple-server backup inspect -path s3://backups/prod/monday.backup -output json",
                ),
            ],
        )
        .exit("1 when the backup is damaged or is none."),
        flags: &[&[PATH, OUTPUT], S3_FLAGS],
        action: Action::Local(files::inspect),
    },
    Command {
        path: "backup list",
        synopsis: "Lists what ends in .backup in a directory or bucket, the latest first",
        help: Help::ours(
            "Lists the backups in a directory or bucket, the latest first, and names those that are damaged.",
            &[
                ("A directory", "steeple-server backup list -dir /mnt/backups"),
                (
                    "A bucket, with the configuration of the server",
                    "steeple-server backup list -dir s3://backups/prod -config /etc/steeple/server.conf",
                ),
            ],
        ),
        flags: &[&[DIR, OUTPUT], S3_FLAGS],
        action: Action::Local(files::list),
    },
    Command {
        path: "backup verify",
        synopsis: "Opens every part of a backup with the sealing key, as restoring it would",
        help: Help::ours(
            "Opens every part of a backup with the sealing key, as restoring it would, and changes nothing. Do it \
             after each copy to another place, and with each copy of the sealing key.",
            &[
                (
                    "With the key and trust domain of a configuration",
                    "steeple-server backup verify -path /mnt/backups/monday.backup -config /etc/steeple/server.conf",
                ),
                (
                    "With a copy of the key",
                    "steeple-server backup verify -path /mnt/backups/monday.backup -sealingKeyPath /safe/sealing.key",
                ),
            ],
        )
        .exit(
            "1 when it could not be restored: damage, another sealing key (the right one is named), another trust \
             domain.",
        ),
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
