//! `token generate`.

use std::io::Write;

use steeple_api::server::agent::CreateJoinTokenRequest;
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_cli::{Call, Command, Failure, Flag, Help};
use tonic::transport::Channel;

use super::Action;
use super::selectors::{int32, parse_id};
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: "token generate",
    synopsis: "Makes a join token, with which one agent can attest once",
    help: Help::spire(
        "Makes a join token, with which one agent attests once.",
        &[
            (
                "For ten minutes, with a SPIFFE ID to hang entries on",
                "steeple-server token generate -spiffeID spiffe://example.org/node",
            ),
            (
                "To a file for the agent",
                "steeple-server token generate -spiffeID spiffe://example.org/node -ttl 3600 | cut -d' ' -f2 > \
                 join-token",
            ),
        ],
    )
    .next("`steeple-agent run -joinTokenFile join-token` on the node, before it expires."),
    flags: &[COMMON_FLAGS, FLAGS],
    action: remote!(generate),
}];

const FLAGS: &[Flag] = &[
    Flag::text("spiffeID", "A further SPIFFE ID for the agent that uses the token"),
    Flag::int("ttl", 600, "Seconds until the token expires"),
];

async fn generate(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let agent_id = call.values.text_if_any("spiffeID").map(parse_id).transpose().map_err(Failure::message)?;
    let without_id = agent_id.is_none();
    let ttl = int32("TTL", call.values.int("ttl"))?;
    let request = CreateJoinTokenRequest { ttl, token: String::new(), agent_id };
    let token = AgentClient::new(channel).create_join_token(request).await?.into_inner();
    call.print(&token, |streams, token| {
        writeln!(streams.stdout, "Token: {}", token.value)?;
        if without_id {
            writeln!(streams.stdout, "Warning: Missing SPIFFE ID.")?;
        }
        Ok(())
    })
}
