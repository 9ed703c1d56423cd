//! `debug getinfo`.

use std::io::Write;

use steeple_api::agent::debug::debug_client::DebugClient;
use steeple_api::agent::debug::{GetInfoRequest, GetInfoResponse};
use steeple_cli::{Call, Command, Failure, Help, OUTPUT, Streams, rfc3339_time};
use steeple_config::GoDuration;
use tonic::transport::Channel;

use super::Action;
use super::table::{ADMIN_SOCKET_FLAG, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: "debug getinfo",
    synopsis: "Shows uptime, caches and the agent's own certificates",
    help: Help::spire(
        "Shows uptime, caches and the agent's own certificates.",
        &[("For people", "steeple-agent debug getinfo"), ("For a script", "steeple-agent debug getinfo -output json")],
    ),
    flags: &[&[ADMIN_SOCKET_FLAG, OUTPUT]],
    action: Action::Admin(remote!(get_info)),
}];

async fn get_info(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let info = DebugClient::new(channel).get_info(GetInfoRequest {}).await?.into_inner();
    call.print(&info, print)
}

fn print(streams: &mut Streams, info: &GetInfoResponse) -> Result<(), Failure> {
    let out = &mut streams.stdout;
    let last_sync = match info.last_sync_success {
        0 => "(never)".to_owned(),
        secs => rfc3339_time(secs),
    };
    writeln!(out, "Agent Debug Info:")?;
    writeln!(out, "  Uptime:                          {}", GoDuration::from_secs(info.uptime.into()))?;
    writeln!(out, "  Last Sync Success:               {last_sync}")?;
    writeln!(out, "  Cached X.509 SVIDs:              {}", info.cached_x509_svids_count)?;
    writeln!(out, "  Cached JWT SVIDs:                {}", info.cached_jwt_svids_count)?;
    writeln!(out, "  Cached SVID Store X.509 SVIDs:   {}", info.cached_svidstore_x509_svids_count)?;
    if !info.svid_chain.is_empty() {
        writeln!(out, "  SVID Chain:")?;
    }
    for (at, certificate) in info.svid_chain.iter().enumerate() {
        let id = certificate.id.as_ref().map(|id| format!("spiffe://{}{}", id.trust_domain, id.path));
        writeln!(out, "    [{at}] SPIFFE ID:  {}", id.as_deref().unwrap_or("(none)"))?;
        writeln!(out, "        Subject:    {}", certificate.subject)?;
        writeln!(out, "        Expires At: {}", rfc3339_time(certificate.expires_at))?;
    }
    Ok(())
}
