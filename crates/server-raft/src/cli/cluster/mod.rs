//! `cluster ...`: the replicas of this server. Ours, SPIRE has nothing like it.

mod change;
mod clock;
mod join_token;
mod members;
mod status;

use steeple_cli::{Call, Command, Failure, Flag, Help};

pub(super) use status::Quorum;

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "cluster demote",
        synopsis: "Lets a voter stand by: it holds the log and votes no more until it is promoted",
        help: Help::ours(
            "Lets a voter stand by: it keeps the log and does not vote until it is promoted. Before long work on its \
             machine, or where too many vote.",
            &[("Let replica 3 stand by", "steeple-server cluster demote -nodeID 3")],
        )
        .exit(
            "1 when it is refused: it leads (`cluster transfer-leader` first), or no quorum would answer without \
             it.",
        )
        .next("`cluster promote -nodeID 3` gives the vote back."),
        flags: &[COMMON_FLAGS, &[Flag::int("nodeID", 0, "The voter, as `cluster list` numbers it; not the leader")]],
        action: remote!(change::demote),
    },
    Command {
        path: "cluster finalize",
        synopsis: "Raises the cluster version once every server is upgraded; older releases cannot come back then",
        help: Help::ours(
            "Raises the cluster version to the highest that all members know, so that new features may be used. \
             Once, after every server is upgraded: releases before that version cannot come back.",
            &[("How it is, then do it", "steeple-server cluster status && steeple-server cluster finalize")],
        )
        .exit("1 when a member does not answer: start it, or remove it."),
        flags: &[COMMON_FLAGS],
        action: remote!(change::finalize),
    },
    Command {
        path: "cluster join-token",
        synopsis: "Tells what a new replica needs to join: there is no token, the sealing key is what lets it in",
        help: Help::ours(
            "Tells what a new replica needs to join: the block of configuration to paste, with the addresses of the \
             members, and which sealing key to copy. There is no token: who holds the sealing key may join, proves it, \
             and never sends it. Nothing that is printed is secret.",
            &[
                ("Before a fourth replica is set up", "steeple-server cluster join-token"),
                (
                    "With the name and host that it will have",
                    "steeple-server cluster join-token -name server-4 -host server-4.example.org",
                ),
                (
                    "Only the block",
                    "steeple-server cluster join-token -name server-4 -host 10.0.0.4 -output json | jq -r .config",
                ),
            ],
        )
        .next(
            "Copy the sealing key by a way that keeps it secret (mode 0600), add the block to the configuration of the \
             new replica, start it on an empty data directory, and watch `cluster list`.",
        ),
        flags: &[COMMON_FLAGS, join_token::FLAGS],
        action: remote!(join_token::invite),
    },
    Command {
        path: "cluster list",
        synopsis: "Lists the replicas",
        help: Help::ours(
            "Lists the replicas as each says of itself now: role, log, lag, contact, health.",
            &[
                ("For people", "steeple-server cluster list"),
                (
                    "Who does not answer, for a script",
                    "steeple-server cluster list -output json | jq '.members[] | select(.reachable | not)'",
                ),
            ],
        ),
        flags: &[COMMON_FLAGS],
        action: remote!(status::list),
    },
    Command {
        path: "cluster promote",
        synopsis: "Lets a learner vote, without waiting for its health to last",
        help: Help::ours(
            "Lets a learner vote, without waiting until it has been healthy for long enough.",
            &[("Let replica 4 vote", "steeple-server cluster promote -nodeID 4")],
        )
        .exit("1 when it is refused: it does not answer, lacks too much of the log, or the target is reached."),
        flags: &[COMMON_FLAGS, &[Flag::int("nodeID", 0, "The learner, as `cluster list` numbers it")]],
        action: remote!(change::promote),
    },
    Command {
        path: "cluster remove",
        synopsis: "Takes a replica out of the cluster for good",
        help: Help::ours(
            "Takes a replica out of the cluster for good. For one that will not come back; its data directory is \
             worth nothing afterwards.",
            &[
                ("Which one", "steeple-server cluster list"),
                ("Remove replica 3", "steeple-server cluster remove -nodeID 3"),
            ],
        )
        .exit("1 when it is refused: no quorum would answer without it, or it is the only voter.")
        .next("The removed server ends with exit code 3. On an empty data directory it joins as a new replica."),
        flags: &[COMMON_FLAGS, &[Flag::int("nodeID", 0, "The replica, as `cluster list` numbers it")]],
        action: remote!(change::remove),
    },
    Command {
        path: "cluster replace",
        synopsis: "Takes a voter out of the cluster for good and gives its vote to a learner, in one step",
        help: Help::ours(
            "Takes a voter out for good and gives its vote to a learner, in one step, so that the number of voters \
             never falls.",
            &[("Replica 5 for replica 2", "steeple-server cluster replace -nodeID 2 -withNodeID 5")],
        )
        .exit("1 when it is refused, as `promote` and `remove` would be."),
        flags: &[
            COMMON_FLAGS,
            &[
                Flag::int("nodeID", 0, "The voter that leaves, as `cluster list` numbers it"),
                Flag::int("withNodeID", 0, "The learner that votes in its place; it has to hold the log already"),
            ],
        ],
        action: remote!(change::replace),
    },
    Command {
        path: "cluster reset-clock",
        synopsis: "Sets the cluster's time back after all clocks were wrong and it ran ahead of them",
        help: Help::ours(
            "The log's time never runs backwards by itself. After the replicas' clocks were ahead and were set right, \
             join tokens would be over at once and the authorities that were made meanwhile would not be valid yet. \
             Without -apply this tells what a reset would end.",
            &[
                ("What a reset would end", "steeple-server cluster reset-clock"),
                ("Set the time back, once all clocks are right", "steeple-server cluster reset-clock -apply"),
            ],
        ),
        flags: &[COMMON_FLAGS, &[Flag::bool("apply", "Do it; otherwise only tell what it would do")]],
        action: remote!(clock::reset),
    },
    Command {
        path: "cluster set-target",
        synopsis: "Says how many replicas vote; the others stand by and take the place of voters that are removed",
        help: Help::ours(
            "Says how many replicas vote; the others stand by, and take the place of voters that leave.",
            &[
                ("Three voters, whatever number of replicas", "steeple-server cluster set-target -voters 3"),
                ("All of them again", "steeple-server cluster set-target -voters 0"),
            ],
        ),
        flags: &[COMMON_FLAGS, &[Flag::int("voters", 0, "1, 3, 5 or 7; 0 lets all of them vote")]],
        action: remote!(change::set_target),
    },
    Command {
        path: "cluster status",
        synopsis: "Shows what the replica that answers knows of itself and the others",
        help: Help::ours(
            "Shows what the replica that answers knows: who leads, whether there is a quorum, how many may fail, the \
             hash of the state. It answers without a quorum, too: the first thing to look at when anything is wrong.",
            &[
                ("For people", "steeple-server cluster status"),
                (
                    "Whether there is a quorum, for a script",
                    "steeple-server cluster status -output json | jq -e .quorum",
                ),
            ],
        ),
        flags: &[COMMON_FLAGS],
        action: remote!(status::status),
    },
    Command {
        path: "cluster transfer-leader",
        synopsis: "Hands leadership to another replica",
        help: Help::ours(
            "Hands leadership to another voter, before the machine of the leader is restarted. A server that is \
             stopped in order does so by itself.",
            &[
                ("To the most caught up", "steeple-server cluster transfer-leader"),
                ("To replica 2", "steeple-server cluster transfer-leader -nodeID 2"),
            ],
        ),
        flags: &[COMMON_FLAGS, &[Flag::int("nodeID", 0, "The replica that shall lead; 0 is the most caught up")]],
        action: remote!(change::transfer_leader),
    },
];

/// `None` for 0.
fn node_id(call: &Call, flag: &'static str) -> Result<Option<u64>, Failure> {
    let id = u64::try_from(call.values.int(flag));
    let id = id.map_err(|_| Failure::message(format!("-{flag} is a positive number")))?;
    Ok(Some(id).filter(|id| *id != 0))
}

fn required_node_id(call: &Call, flag: &'static str) -> Result<u64, Failure> {
    node_id(call, flag)?.ok_or_else(|| Failure::message(format!("a node ID (-{flag}) is required")))
}
