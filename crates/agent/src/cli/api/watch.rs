//! `api watch`.

use std::io::Write;
use std::time::{Duration, Instant};

use steeple_api::workload::X509svidRequest;
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_cli::{Call, Failure, rpc_error};
use steeple_core::{Clock, SystemClock};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::print::{Style, print_svids};
use super::svids::parse;
use crate::workload_api::with_security_header;

/// Until interrupted. Errors go to standard error, and the stream is opened anew.
pub(super) async fn watch(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        failure = reconnect(call, channel) => failure,
    }
}

async fn reconnect(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let mut client = SpiffeWorkloadApiClient::new(channel);
    let mut updated = Instant::now();
    let mut pause = PAUSE_MIN;
    loop {
        let status = match follow(call, &mut client, &mut updated, &mut pause).await {
            Ok(status) => status,
            Err(failure) => return Err(failure),
        };
        if status.code() == Code::InvalidArgument {
            return Err(status.into());
        }
        writeln!(call.streams.stderr, "{}", rpc_error(&status))?;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Prints updates until the stream ends, and returns why it did.
async fn follow(
    call: &mut Call,
    client: &mut SpiffeWorkloadApiClient<Channel>,
    updated: &mut Instant,
    pause: &mut Duration,
) -> Result<Status, Failure> {
    let mut stream = match client.fetch_x509svid(with_security_header(X509svidRequest {})).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(status),
    };
    loop {
        match stream.message().await {
            Ok(Some(response)) => {
                *pause = PAUSE_MIN;
                let took = updated.elapsed();
                *updated = Instant::now();
                match parse(response, SystemClock.now()) {
                    Ok(svids) => print_svids(&mut call.streams.stdout, &svids, took, Style::Watch)?,
                    Err(error) => writeln!(call.streams.stderr, "{error}")?,
                }
                call.streams.stdout.flush()?;
            }
            Ok(None) => return Ok(Status::unavailable("the agent ended the stream")),
            Err(status) => return Ok(status),
        }
    }
}

/// Those of go-spiffe.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
