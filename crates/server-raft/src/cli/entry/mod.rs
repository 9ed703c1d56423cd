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

use steeple_cli::{Command, Help};

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "entry apply",
        synopsis: "Brings registration entries to what files say",
        help: Help::ours(
            "Brings registration entries to what files say, and shows the difference first where asked. For entries \
             that are kept in a repository.",
            &[
                ("What would change", "steeple-server entry apply -f entries/ -dryRun -prune"),
                (
                    "Do it, and delete what an earlier run created and the files name no longer",
                    "steeple-server entry apply -f entries/ -prune",
                ),
                ("From a program", "generate-entries | steeple-server entry apply -f - -owner team-a"),
            ],
        )
        .exit("1 when an entry was refused: the others are applied, and nothing is deleted.")
        .next("A second run finds nothing to do."),
        flags: &[COMMON_FLAGS, apply::FLAGS],
        action: remote!(apply::apply),
    },
    Command {
        path: "entry count",
        synopsis: "Counts registration entries",
        help: Help::spire(
            "Counts registration entries, all or those that fit the filters.",
            &[
                ("All", "steeple-server entry count"),
                ("Those of one node", "steeple-server entry count -parentID spiffe://example.org/node"),
            ],
        ),
        flags: &[COMMON_FLAGS, filter::FLAGS],
        action: remote!(count::count),
    },
    Command {
        path: "entry create",
        synopsis: "Creates registration entries",
        help: Help::spire(
            "Creates registration entries: which SPIFFE ID processes with all of these selectors get, on which nodes.",
            &[
                (
                    "A workload, by its user, on one node",
                    "steeple-server entry create -parentID spiffe://example.org/node -spiffeID \
                     spiffe://example.org/web \\\n    -selector unix:uid:1000",
                ),
                (
                    "An alias for all nodes of one kind, as parent of others",
                    "steeple-server entry create -node -spiffeID spiffe://example.org/web-nodes \\\n    -selector \
                     x509pop:subject:cn:web",
                ),
                ("Many, from a file with entries as JSON", "steeple-server entry create -data entries.json"),
            ],
        )
        .next("`why SPIFFE_ID` tells whether a workload can get it now."),
        flags: &[COMMON_FLAGS, change::FLAGS, create::FLAGS],
        action: remote!(create::create),
    },
    Command {
        path: "entry delete",
        synopsis: "Deletes registration entries",
        help: Help::spire(
            "Deletes registration entries. Workloads lose the identity within seconds; an SVID that was issued stays \
             valid until it expires.",
            &[
                ("One", "steeple-server entry delete -entryID 4f1c7b1e"),
                ("Those whose IDs a file holds as JSON", "steeple-server entry delete -file ids.json"),
            ],
        ),
        flags: &[COMMON_FLAGS, delete::FLAGS],
        action: remote!(delete::delete),
    },
    Command {
        path: "entry show",
        synopsis: "Shows registration entries",
        help: Help::spire(
            "Shows registration entries, all or those that fit the filters.",
            &[
                ("One identity", "steeple-server entry show -spiffeID spiffe://example.org/web"),
                (
                    "What a process of that user would get",
                    "steeple-server entry show -selector unix:uid:1000 -matchSelectorsOn subset",
                ),
                ("All of them, for a script", "steeple-server entry show -output json"),
            ],
        ),
        flags: &[COMMON_FLAGS, filter::FLAGS, show::FLAGS],
        action: remote!(show::show),
    },
    Command {
        path: "entry update",
        synopsis: "Replaces registration entries",
        help: Help::spire(
            "Replaces a registration entry: every field is what the flags say, and what is not given is empty.",
            &[(
                "Another lifetime",
                "steeple-server entry update -entryID 4f1c7b1e -parentID spiffe://example.org/node \\\n    \
                 -spiffeID spiffe://example.org/web -selector unix:uid:1000 -x509SVIDTTL 600",
            )],
        ),
        flags: &[COMMON_FLAGS, change::FLAGS],
        action: remote!(update::update),
    },
    Command {
        path: "entry watch",
        synopsis: "Prints changes of registration entries as they happen, until it is interrupted",
        help: Help::ours(
            "Prints changes of registration entries as they happen, until it is interrupted. Nothing is missed and \
             nothing comes twice: with the index printed last it goes on.",
            &[
                ("From now on", "steeple-server entry watch"),
                (
                    "Those of one node, for a program",
                    "steeple-server entry watch -parentID spiffe://example.org/node -output json",
                ),
                ("On from what was printed last", "steeple-server entry watch -afterIndex 815"),
            ],
        ),
        flags: &[COMMON_FLAGS, filter::FLAGS, watch::FLAGS],
        action: remote!(watch::watch),
    },
];
