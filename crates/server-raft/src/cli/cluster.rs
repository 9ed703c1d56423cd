//! `cluster status|list|remove|transfer-leader`: ours, SPIRE has nothing like it.

use std::io::{self, Write};

use steeple_api::steeple::server::cluster_client::ClusterClient;
use steeple_api::steeple::server::{ListRequest, Member, RemoveRequest, StatusRequest, TransferLeaderRequest};
use steeple_cli::{Call, Command, Context, Failure, Flag};
use tonic::transport::Channel;

use super::Action;
use super::columns::print_table;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command { path: "cluster list", synopsis: "Lists the replicas", flags: &[COMMON_FLAGS], action: remote!(list) },
    Command {
        path: "cluster remove",
        synopsis: "Takes a replica out of the cluster for good",
        flags: &[COMMON_FLAGS, &[Flag::int("nodeID", 0, "The replica, as `cluster list` numbers it")]],
        action: remote!(remove),
    },
    Command {
        path: "cluster status",
        synopsis: "Shows what the replica that answers knows of itself and the others",
        flags: &[COMMON_FLAGS],
        action: remote!(status),
    },
    Command {
        path: "cluster transfer-leader",
        synopsis: "Hands leadership to another replica",
        flags: &[COMMON_FLAGS, &[Flag::int("nodeID", 0, "The replica that shall lead; 0 is the most caught up")]],
        action: remote!(transfer_leader),
    },
];

async fn status(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let status = ClusterClient::new(channel).status(StatusRequest {}).await?.into_inner();
    call.print(&status, |streams, status| {
        let out = &mut streams.stdout;
        let mut line = |label: &str, value: &dyn std::fmt::Display| writeln!(out, "{label:<14}: {value}");
        line("Cluster UUID", &status.cluster_uuid)?;
        line("This replica", &status.node_id)?;
        match status.leader_id {
            0 => line("Leader", &"none")?,
            id => line("Leader", &id)?,
        }
        line("Term", &status.term)?;
        line("Applied index", &status.applied_index)?;
        line("State hash", &status.state_hash)?;
        if status.differing > 0 {
            line("Differing", &format_args!("{} members hold another state than this one", status.differing))?;
        }
        if !status.stopped.is_empty() {
            line("Serves nothing", &status.stopped)?;
        }
        writeln!(out)?;
        Ok(print_members(out, &status.members)?)
    })
}

async fn list(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let response = ClusterClient::new(channel).list(ListRequest {}).await?.into_inner();
    call.print(&response, |streams, response| Ok(print_members(&mut streams.stdout, &response.members)?))
}

async fn remove(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let node_id = node_id(call)?.ok_or_else(|| Failure::message("a node ID (-nodeID) is required"))?;
    let response = ClusterClient::new(channel).remove(RemoveRequest { node_id }).await;
    let response = response.context(format!("could not remove replica {node_id}"))?.into_inner();
    call.print(&response, |streams, response| {
        writeln!(streams.stdout, "Removed replica {node_id}.\n")?;
        Ok(print_members(&mut streams.stdout, &response.members)?)
    })
}

async fn transfer_leader(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = TransferLeaderRequest { node_id: node_id(call)?.unwrap_or(0) };
    let response = ClusterClient::new(channel).transfer_leader(request).await;
    let response = response.context("could not transfer leadership")?.into_inner();
    call.print(&response, |streams, response| {
        Ok(writeln!(streams.stdout, "Replica {} leads in term {}.", response.leader_id, response.term)?)
    })
}

/// `None` for 0.
fn node_id(call: &Call) -> Result<Option<u64>, Failure> {
    let id = u64::try_from(call.values.int("nodeID")).map_err(|_| Failure::message("-nodeID is a positive number"))?;
    Ok(Some(id).filter(|id| *id != 0))
}

fn print_members(out: &mut dyn Write, members: &[Member]) -> io::Result<()> {
    let header = ["ID", "NAME", "ROLE", "PEER ADDRESS", "API ADDRESS", "APPLIED", "LAG", "REACHABLE"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(members.iter().map(|member| {
        let role = match (member.leader, member.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        [
            member.node_id.to_string(),
            member.name.clone(),
            role.to_owned(),
            member.peer_address.clone(),
            member.api_address.clone(),
            // What it said at its last answer is no longer so.
            if member.reachable { member.applied.to_string() } else { "-".to_owned() },
            member.lag.to_string(),
            match (member.reachable, member.sealed) {
                (false, _) => "no",
                (true, false) => "yes",
                (true, true) => "yes, sealed",
            }
            .to_owned(),
        ]
    }));
    print_table(out, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_as_a_table() {
        let leader = Member { node_id: 1, name: "server-0".into(), leader: true, voter: true, ..Member::default() };
        let learner = Member { node_id: 12, name: "x".into(), lag: 7, reachable: true, ..Member::default() };
        let sealed = Member { node_id: 13, voter: true, sealed: true, reachable: true, ..Member::default() };
        let mut text = Vec::new();
        print_members(&mut text, &[leader, learner, sealed]).unwrap();
        let expected = "\
ID  NAME      ROLE     PEER ADDRESS  API ADDRESS  APPLIED  LAG  REACHABLE
1   server-0  leader                              -        0    no
12  x         learner                             0        7    yes
13            voter                               0        0    yes, sealed
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
