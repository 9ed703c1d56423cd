//! `upstreamauthority taint|revoke`.

use std::io::Write;

use steeple_api::server::localauthority::local_authority_client::LocalAuthorityClient;
use steeple_api::server::localauthority::{RevokeX509UpstreamAuthorityRequest, TaintX509UpstreamAuthorityRequest};
use steeple_cli::{Call, Command, Context, Failure, Flag, Help, Values};
use tonic::transport::Channel;

use super::Action;
use super::table::{COMMON_FLAGS, remote};

pub(super) const COMMANDS: &[Command<Action>] = &[
    Command {
        path: "upstreamauthority revoke",
        synopsis: "Removes a tainted X.509 authority above this server from the bundle",
        help: Help::spire(
            "Removes a tainted X.509 authority above this server from the bundle.",
            &[("Revoke it", "steeple-server upstreamauthority revoke -subjectKeyID 8a3c0f")],
        ),
        flags: &[COMMON_FLAGS, FLAGS],
        action: remote!(revoke),
    },
    Command {
        path: "upstreamauthority taint",
        synopsis: "Marks an X.509 authority above this server as not to be trusted",
        help: Help::spire(
            "Marks an X.509 authority above this server as not to be trusted: agents replace what lies below it.",
            &[("Taint it", "steeple-server upstreamauthority taint -subjectKeyID 8a3c0f")],
        )
        .next(
            "First `ca rotate`, so that an authority below another one signs; afterwards `upstreamauthority \
             revoke`.",
        ),
        flags: &[COMMON_FLAGS, FLAGS],
        action: remote!(taint),
    },
];

const FLAGS: &[Flag] = &[Flag::text("subjectKeyID", "Subject key ID of the authority, as hex")];

async fn taint(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = TaintX509UpstreamAuthorityRequest { subject_key_id: subject_key_id(&call.values)? };
    let response = LocalAuthorityClient::new(channel).taint_x509_upstream_authority(request).await;
    let response = response.context("could not taint X.509 upstream authority")?.into_inner();
    call.print(&response, |streams, response| {
        let id = &response.upstream_authority_subject_key_id;
        Ok(writeln!(streams.stdout, "Tainted X.509 upstream authority:\n  Subject Key ID: {id}")?)
    })
}

async fn revoke(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = RevokeX509UpstreamAuthorityRequest { subject_key_id: subject_key_id(&call.values)? };
    let response = LocalAuthorityClient::new(channel).revoke_x509_upstream_authority(request).await;
    let response = response.context("could not revoke X.509 upstream authority")?.into_inner();
    call.print(&response, |streams, response| {
        let id = &response.upstream_authority_subject_key_id;
        Ok(writeln!(streams.stdout, "Revoked X.509 upstream authority:\n  Subject Key ID: {id}")?)
    })
}

fn subject_key_id(values: &Values) -> Result<String, Failure> {
    let id = values
        .text_if_any("subjectKeyID")
        .ok_or_else(|| Failure::message("the Subject Key ID of the X.509 upstream authority is required"))?;
    Ok(id.to_owned())
}
