//! `healthcheck`.

use std::io::Write;

use steeple_api::health::HealthCheckRequest;
use steeple_api::health::health_check_response::ServingStatus;
use steeple_api::health::health_client::HealthClient;
use steeple_cli::{Call, Command, Failure, Flag, Help, rpc_error};
use tonic::transport::Channel;

use super::Action;
use super::table::{SOCKET_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: "healthcheck",
    synopsis: "Tells by its exit code whether the server is healthy",
    help: Help::spire(
        "Tells by its exit code whether the server that answers at the socket is healthy: it serves, and a quorum is \
         there.",
        &[
            ("In a script", "steeple-server healthcheck && echo well"),
            ("With the reason", "steeple-server healthcheck -verbose"),
        ],
    )
    .exit("0 when it is healthy, 1 when it is not or does not answer.")
    .next("`cluster status` tells more of a server that answers and is not healthy."),
    flags: &[SOCKET_FLAGS, FLAGS],
    action: remote!(check),
}];

const FLAGS: &[Flag] = &[
    Flag::bool("shallow", "Accepted for SPIRE's sake; there is one kind of check"),
    Flag::bool("verbose", "Say why the server is not healthy"),
];

async fn check(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let verbose = call.values.bool("verbose");
    if verbose {
        writeln!(call.streams.stdout, "Checking server health...")?;
    }
    match HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await {
        Ok(reply) => match reply.into_inner().status() {
            ServingStatus::Serving => Ok(writeln!(call.streams.stdout, "Server is healthy.")?),
            other => {
                let name = other.as_str_name();
                Err(Failure::Message(format!("server is unhealthy: server returned status {name:?}")))
            }
        },
        Err(status) => {
            if verbose {
                writeln!(call.streams.stderr, "Failed to check health: {}", rpc_error(&status))?;
            }
            Err(Failure::message("server is unhealthy: unable to determine health"))
        }
    }
}
