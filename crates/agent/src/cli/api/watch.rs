//! `api watch`.

use std::io::Write;
use std::time::Instant;

use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_api::workload::{X509svidRequest, X509svidResponse};
use steeple_cli::{Call, Failure, Streams, rpc_error};
use steeple_core::{Clock, SystemClock};
use tonic::Status;
use tonic::transport::Channel;

use super::print::{Style, print_svids};
use crate::workload_api::with_security_header;
use crate::workload_client::{self, parse_verified};

/// Until interrupted, which is a failure as well (SPIRE behaviour). Errors go to standard error, and the stream is
/// opened anew.
pub(super) async fn watch(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(Failure::message("context canceled"))
        }
        failure = follow(&mut call.streams, channel) => failure,
    }
}

async fn follow(streams: &mut Streams, channel: Channel) -> Result<(), Failure> {
    let mut client = SpiffeWorkloadApiClient::new(channel);
    let mut updated = Instant::now();
    let open = async || client.fetch_x509svid(with_security_header(X509svidRequest {})).await;
    let refused = workload_client::watch(open, async |update| show(streams, &mut updated, update)).await?;
    Err(refused.into())
}

fn show(streams: &mut Streams, updated: &mut Instant, update: Result<X509svidResponse, Status>) -> Result<(), Failure> {
    let response = match update {
        Ok(response) => response,
        Err(status) => return Ok(writeln!(streams.stderr, "{}", rpc_error(&status))?),
    };
    let took = updated.elapsed();
    *updated = Instant::now();
    match parse_verified(response, SystemClock.now()) {
        Ok(svids) => print_svids(&mut streams.stdout, &svids, took, Style::Watch)?,
        Err(error) => writeln!(streams.stderr, "{error}")?,
    }
    Ok(streams.stdout.flush()?)
}
