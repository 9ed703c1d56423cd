//! Commands that change the membership, who leads, or what the cluster may do.

use std::fmt::Display;

use steeple_api::steeple::server::cluster_client::ClusterClient;
use steeple_api::steeple::server::{
    DemoteRequest, FinalizeRequest, Member, PromoteRequest, RemoveRequest, ReplaceRequest, SetTargetRequest,
    TransferLeaderRequest,
};
use steeple_cli::{Call, Context, Failure, Streams};
use tonic::transport::Channel;

use super::members::print_members;
use super::{node_id, required_node_id};

pub(super) async fn remove(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let node_id = required_node_id(call, "nodeID")?;
    let response = ClusterClient::new(channel).remove(RemoveRequest { node_id }).await;
    let response = response.context(format!("could not remove replica {node_id}"))?.into_inner();
    call.print(&response, |streams, response| {
        done(streams, &format_args!("Removed replica {node_id}."), &response.members)
    })
}

pub(super) async fn promote(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let node_id = required_node_id(call, "nodeID")?;
    let response = ClusterClient::new(channel).promote(PromoteRequest { node_id }).await;
    let response = response.context(format!("could not promote replica {node_id}"))?.into_inner();
    call.print(&response, |streams, response| {
        done(streams, &format_args!("Replica {node_id} votes."), &response.members)
    })
}

pub(super) async fn demote(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let node_id = required_node_id(call, "nodeID")?;
    let response = ClusterClient::new(channel).demote(DemoteRequest { node_id }).await;
    let response = response.context(format!("could not demote replica {node_id}"))?.into_inner();
    call.print(&response, |streams, response| {
        done(streams, &format_args!("Replica {node_id} stands by."), &response.members)
    })
}

pub(super) async fn replace(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let old_node_id = required_node_id(call, "nodeID")?;
    let new_node_id = required_node_id(call, "withNodeID")?;
    let response = ClusterClient::new(channel).replace(ReplaceRequest { old_node_id, new_node_id }).await;
    let response = response.context(format!("could not replace replica {old_node_id}"))?.into_inner();
    call.print(&response, |streams, response| {
        let said = format_args!("Replica {new_node_id} votes in the place of {old_node_id}.");
        done(streams, &said, &response.members)
    })
}

pub(super) async fn set_target(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    if !call.values.given("voters") {
        return Err(Failure::message("-voters is required: 1, 3, 5 or 7, or 0 to let all of them vote"));
    }
    let voters = u32::try_from(call.values.int("voters"));
    let voters = voters.map_err(|_| Failure::message("-voters is a number from 0 to 7"))?;
    let response = ClusterClient::new(channel).set_target(SetTargetRequest { voters }).await;
    let response = response.context("could not set the number of voters")?.into_inner();
    call.print(&response, |streams, response| match voters {
        0 => done(streams, &"All replicas vote, once they are healthy.", &response.members),
        1 => done(streams, &"1 replica is to vote, the others stand by.", &response.members),
        _ => done(streams, &format_args!("{voters} replicas are to vote, the others stand by."), &response.members),
    })
}

pub(super) async fn finalize(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let response = ClusterClient::new(channel).finalize(FinalizeRequest {}).await;
    let response = response.context("could not raise the cluster version")?.into_inner();
    call.print(&response, |streams, response| {
        writeln!(streams.stdout, "The cluster is at version {}.", response.version)?;
        for node_id in &response.held_back_by {
            writeln!(streams.stdout, "The release of replica {node_id} knows no higher one: upgrade it and repeat.")?;
        }
        Ok(())
    })
}

pub(super) async fn transfer_leader(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = TransferLeaderRequest { node_id: node_id(call, "nodeID")?.unwrap_or(0) };
    let response = ClusterClient::new(channel).transfer_leader(request).await;
    let response = response.context("could not transfer leadership")?.into_inner();
    call.print(&response, |streams, response| {
        Ok(writeln!(streams.stdout, "Replica {} leads in term {}.", response.leader_id, response.term)?)
    })
}

fn done(streams: &mut Streams, said: &dyn Display, members: &[Member]) -> Result<(), Failure> {
    writeln!(streams.stdout, "{said}\n")?;
    Ok(print_members(&mut streams.stdout, members)?)
}
