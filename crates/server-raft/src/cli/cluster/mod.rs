//! `cluster ...`: the replicas of this server. Ours, SPIRE has nothing like it.

mod change;
mod members;
mod status;

use steeple_cli::{Call, Command, Failure, Flag};

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "cluster demote",
        synopsis: "Lets a voter stand by: it holds the log and votes no more until it is promoted",
        flags: &[COMMON_FLAGS, &[Flag::int("nodeID", 0, "The voter, as `cluster list` numbers it; not the leader")]],
        action: remote!(change::demote),
    },
    Command {
        path: "cluster finalize",
        synopsis: "Raises the cluster version once every server is upgraded; older releases cannot come back then",
        flags: &[COMMON_FLAGS],
        action: remote!(change::finalize),
    },
    Command {
        path: "cluster list",
        synopsis: "Lists the replicas",
        flags: &[COMMON_FLAGS],
        action: remote!(status::list),
    },
    Command {
        path: "cluster promote",
        synopsis: "Lets a learner vote, without waiting for its health to last",
        flags: &[COMMON_FLAGS, &[Flag::int("nodeID", 0, "The learner, as `cluster list` numbers it")]],
        action: remote!(change::promote),
    },
    Command {
        path: "cluster remove",
        synopsis: "Takes a replica out of the cluster for good",
        flags: &[COMMON_FLAGS, &[Flag::int("nodeID", 0, "The replica, as `cluster list` numbers it")]],
        action: remote!(change::remove),
    },
    Command {
        path: "cluster replace",
        synopsis: "Takes a voter out of the cluster for good and gives its vote to a learner, in one step",
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
        path: "cluster set-target",
        synopsis: "Says how many replicas vote; the others stand by and take the place of voters that are removed",
        flags: &[COMMON_FLAGS, &[Flag::int("voters", 0, "1, 3, 5 or 7; 0 lets all of them vote")]],
        action: remote!(change::set_target),
    },
    Command {
        path: "cluster status",
        synopsis: "Shows what the replica that answers knows of itself and the others",
        flags: &[COMMON_FLAGS],
        action: remote!(status::status),
    },
    Command {
        path: "cluster transfer-leader",
        synopsis: "Hands leadership to another replica",
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
