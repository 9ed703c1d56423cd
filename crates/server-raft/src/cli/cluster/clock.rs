//! `cluster reset-clock`: the way back when the cluster's time ran ahead of the replicas' clocks.

use std::io::Write as _;

use steeple_api::steeple::server::cluster_client::ClusterClient;
use steeple_api::steeple::server::{ResetClockRequest, ResetClockResponse};
use steeple_cli::{Call, Context, Failure, Streams, span};
use steeple_core::Timestamp;
use tonic::transport::Channel;

pub(super) async fn reset(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let apply = call.values.bool("apply");
    let response = ClusterClient::new(channel).reset_clock(ResetClockRequest { apply }).await;
    let response = response.context("could not reset the cluster's time")?.into_inner();
    call.print(&response, |streams, response| shown(streams, response, apply))
}

fn shown(streams: &mut Streams, response: &ResetClockResponse, applied: bool) -> Result<(), Failure> {
    let out = &mut streams.stdout;
    let (replicated, now) = (Timestamp::from_ms(response.replicated_ms), Timestamp::from_ms(response.now_ms));
    writeln!(out, "The cluster's time:  {replicated}")?;
    writeln!(out, "This server's clock: {now}")?;
    if !response.ahead {
        return Ok(writeln!(out, "\nThe cluster's time is not ahead. There is nothing to do.")?);
    }
    writeln!(out, "Ahead by:            {}", span(replicated.since(now)))?;
    let will = if applied { "was" } else { "would be" };
    writeln!(out, "\nJoin tokens that {will} voided: {}", response.join_tokens)?;
    writeln!(
        out,
        "Authorities made in a time that has not come, which get successors: {}",
        response.authorities.len()
    )?;
    for id in &response.authorities {
        writeln!(out, "  {id}")?;
    }
    match applied {
        true => writeln!(out, "\nThe cluster's time was set back. Follow the new authorities with `ca status`.")?,
        false => writeln!(out, "\nNothing was changed. If the clocks are right now, repeat with -apply.")?,
    }
    Ok(())
}
