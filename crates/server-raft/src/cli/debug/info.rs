//! `debug getinfo`.

use std::io::Write;

use steeple_api::server::debug::debug_client::DebugClient;
use steeple_api::server::debug::{GetInfoRequest, GetInfoResponse};
use steeple_cli::{Call, Failure, Streams, rfc3339_time};
use steeple_config::GoDuration;
use tonic::transport::Channel;

use crate::cli::selectors::id_text;

pub(super) async fn get_info(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let info = DebugClient::new(channel).get_info(GetInfoRequest {}).await?.into_inner();
    call.print(&info, print)
}

fn print(streams: &mut Streams, info: &GetInfoResponse) -> Result<(), Failure> {
    let out = &mut streams.stdout;
    writeln!(out, "Server Debug Info:")?;
    writeln!(out, "  Uptime:                  {}", GoDuration::from_secs(info.uptime.into()))?;
    writeln!(out, "  Registered Agents:       {}", info.agents_count)?;
    writeln!(out, "  Registration Entries:    {}", info.entries_count)?;
    writeln!(out, "  Federated Bundles:       {}", info.federated_bundles_count)?;
    if !info.svid_chain.is_empty() {
        writeln!(out, "  SVID Chain:")?;
    }
    for (at, certificate) in info.svid_chain.iter().enumerate() {
        writeln!(out, "    [{at}] SPIFFE ID:  {}", id_text(certificate.id.as_ref()))?;
        writeln!(out, "        Subject:    {}", certificate.subject)?;
        writeln!(out, "        Expires At: {}", rfc3339_time(certificate.expires_at))?;
    }
    Ok(())
}
