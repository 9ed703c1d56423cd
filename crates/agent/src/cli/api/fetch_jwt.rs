//! `api fetch jwt`.

use std::io::Write;

use serde_json::Value;
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_api::workload::{JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse};
use steeple_cli::{Call, Context, Failure, OutputFormat, Streams, never_connected, one_line, proto_json};
use tonic::Status;
use tonic::transport::Channel;

use super::client::{time_limit, within};
use crate::workload_api::with_security_header;
use crate::workload_client::first;

pub(super) async fn fetch(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let values = &call.values;
    if values.texts("audience").is_empty() {
        return Err(Failure::message("audience must be specified"));
    }
    let wanted =
        JwtsvidRequest { audience: values.texts("audience").to_vec(), spiffe_id: values.text("spiffeID").to_owned() };
    let limit = time_limit(values);
    let mut client = SpiffeWorkloadApiClient::new(channel);
    let bundles = match within(limit, first_bundles(&mut client)).await {
        // Only a stream that could not be opened is told with what it was for (SPIRE behaviour).
        Err(status) if never_connected(&status) => Err(status).context("failed to receive JWT bundles")?,
        bundles => bundles?,
    };
    let svids = within(limit, client.fetch_jwtsvid(with_security_header(wanted))).await?.into_inner();
    let json = [values.output("output"), values.output("format")].contains(&OutputFormat::Json);
    if json {
        let array = Value::Array(vec![proto_json(&svids)?, proto_json(&bundles)?]);
        return Ok(writeln!(call.streams.stdout, "{}", one_line(array))?);
    }
    print(&mut call.streams, &svids, &bundles)
}

async fn first_bundles(client: &mut SpiffeWorkloadApiClient<Channel>) -> Result<JwtBundlesResponse, Status> {
    first(client.fetch_jwt_bundles(with_security_header(JwtBundlesRequest {})).await).await
}

fn print(streams: &mut Streams, svids: &JwtsvidResponse, bundles: &JwtBundlesResponse) -> Result<(), Failure> {
    let out = &mut streams.stdout;
    for svid in &svids.svids {
        writeln!(out, "token({}):\n\t{}", svid.spiffe_id, svid.svid)?;
        if !svid.hint.is_empty() {
            writeln!(out, "hint({}):\n\t{}", svid.spiffe_id, svid.hint)?;
        }
    }
    for (trust_domain, keys) in &bundles.bundles {
        let keys = std::str::from_utf8(keys).map_err(Failure::message);
        writeln!(out, "bundle({trust_domain}):\n\t{}", keys.context("bundle is not a JSON text")?)?;
    }
    Ok(())
}
