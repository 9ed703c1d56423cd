//! `healthcheck`.

use std::io::Write;

use steeple_api::health::HealthCheckRequest;
use steeple_api::health::health_check_response::ServingStatus;
use steeple_api::health::health_client::HealthClient;
use steeple_cli::{Call, Command, Failure, Flag, Help, rpc_error};
use tonic::transport::Channel;

use super::Action;
use super::table::{PUBLIC_SOCKET_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: "healthcheck",
    synopsis: "Tells by its exit code whether the agent is healthy",
    help: Help::spire(
        "Tells by its exit code whether the agent that answers at the socket is healthy.",
        &[
            ("In a script", "steeple-agent healthcheck && echo well"),
            ("With the reason", "steeple-agent healthcheck -verbose"),
        ],
    )
    .exit("0 when it is healthy, 1 when it is not or does not answer."),
    flags: &[PUBLIC_SOCKET_FLAGS, FLAGS],
    action: Action::Public("Agent is unhealthy: ", remote!(check)),
}];

const FLAGS: &[Flag] = &[
    Flag::bool("shallow", "Accepted for SPIRE's sake; there is one kind of check"),
    Flag::bool("verbose", "Say why the agent is not healthy"),
];

async fn check(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let verbose = call.values.bool("verbose");
    if verbose {
        writeln!(call.streams.stdout, "Checking agent health...")?;
    }
    match HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await {
        Ok(reply) => match reply.into_inner().status() {
            ServingStatus::Serving => Ok(writeln!(call.streams.stdout, "Agent is healthy.")?),
            other => Err(Failure::Message(format!("agent returned status {:?}", other.as_str_name()))),
        },
        Err(status) => {
            if verbose {
                writeln!(call.streams.stderr, "Failed to check health: {}", rpc_error(&status))?;
            }
            Err(Failure::message("unable to determine health"))
        }
    }
}
