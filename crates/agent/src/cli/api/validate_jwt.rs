//! `api validate jwt`.

use std::io::Write;

use serde_json::Value;
use steeple_api::workload::ValidateJwtsvidRequest;
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_cli::{Call, Context, Failure, proto_json};
use tonic::Code;
use tonic::transport::Channel;

use super::client::{time_limit, within};
use crate::workload_api::with_security_header;

pub(super) async fn validate(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let values = &call.values;
    let audience = values.text_if_any("audience").ok_or_else(|| Failure::message("audience must be specified"))?;
    let svid = values.text_if_any("svid").ok_or_else(|| Failure::message("svid must be specified"))?;
    let wanted = ValidateJwtsvidRequest { audience: audience.to_owned(), svid: svid.to_owned() };
    let mut client = SpiffeWorkloadApiClient::new(channel);
    let response = match within(time_limit(values), client.validate_jwtsvid(with_security_header(wanted))).await {
        Ok(response) => response.into_inner(),
        Err(status) if status.code() == Code::InvalidArgument => {
            return Err(Failure::Message(format!("SVID is not valid: {}", status.message())));
        }
        Err(status) => return Err(status).context("unable to validate JWT SVID"),
    };
    call.print(&response, |streams, response| {
        let claims = proto_json(response)?.get("claims").cloned().unwrap_or(Value::Null);
        let out = &mut streams.stdout;
        writeln!(out, "SVID is valid.")?;
        writeln!(out, "SPIFFE ID : {}", response.spiffe_id)?;
        Ok(writeln!(out, "Claims    : {claims}")?)
    })
}
