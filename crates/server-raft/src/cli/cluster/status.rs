//! `cluster status` and `cluster list`.

use steeple_api::steeple::server::cluster_client::ClusterClient;
use steeple_api::steeple::server::{ListRequest, StatusRequest};
use steeple_cli::{Call, Failure};
use tonic::transport::Channel;

use super::members::print_members;

pub(super) async fn status(call: &mut Call, channel: Channel) -> Result<(), Failure> {
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
        match status.failure_tolerance {
            0 => line("Tolerates", &"no failure")?,
            1 => line("Tolerates", &"1 failure")?,
            failures => line("Tolerates", &format_args!("{failures} failures"))?,
        }
        if status.voters_target > 0 {
            line("Target", &format_args!("{} voters", status.voters_target))?;
        }
        match status.cluster_version {
            version if version < status.cluster_version_max => {
                let known = status.cluster_version_max;
                line("Version", &format_args!("{version}; this release knows {known} (`cluster finalize`)"))?;
            }
            version => line("Version", &version)?,
        }
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

pub(super) async fn list(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let response = ClusterClient::new(channel).list(ListRequest {}).await?.into_inner();
    call.print(&response, |streams, response| Ok(print_members(&mut streams.stdout, &response.members)?))
}
