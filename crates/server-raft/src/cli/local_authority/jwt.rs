//! `localauthority jwt`.

use steeple_api::server::localauthority::local_authority_client::LocalAuthorityClient;
use steeple_api::server::localauthority::{
    ActivateJwtAuthorityRequest, GetJwtAuthorityStateRequest, PrepareJwtAuthorityRequest, RevokeJwtAuthorityRequest,
    TaintJwtAuthorityRequest,
};
use steeple_cli::{Call, Context, Failure};
use tonic::transport::Channel;

use super::authority_id;
use super::print::{Kind, print_all, print_one};

pub(super) async fn show(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let response = LocalAuthorityClient::new(channel).get_jwt_authority_state(GetJwtAuthorityStateRequest {}).await;
    // Alone of the commands here without a word of its own (SPIRE behaviour).
    let response = response?.into_inner();
    call.print(&response, |streams, response| {
        print_all(streams, KIND, [response.active.as_ref(), response.prepared.as_ref(), response.old.as_ref()])
    })
}

pub(super) async fn prepare(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let response = LocalAuthorityClient::new(channel).prepare_jwt_authority(PrepareJwtAuthorityRequest {}).await;
    let response = response.context("could not prepare JWT authority")?.into_inner();
    call.print(&response, |streams, response| {
        print_one(streams, KIND, "Prepared", response.prepared_authority.as_ref())
    })
}

pub(super) async fn activate(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = ActivateJwtAuthorityRequest { authority_id: authority_id(&call.values)? };
    let response = LocalAuthorityClient::new(channel).activate_jwt_authority(request).await;
    let response = response.context("could not activate JWT authority")?.into_inner();
    call.print(&response, |streams, response| {
        print_one(streams, KIND, "Activated", response.activated_authority.as_ref())
    })
}

pub(super) async fn taint(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = TaintJwtAuthorityRequest { authority_id: authority_id(&call.values)? };
    let response = LocalAuthorityClient::new(channel).taint_jwt_authority(request).await;
    let response = response.context("could not taint JWT authority")?.into_inner();
    call.print(&response, |streams, response| print_one(streams, KIND, "Tainted", response.tainted_authority.as_ref()))
}

pub(super) async fn revoke(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = RevokeJwtAuthorityRequest { authority_id: authority_id(&call.values)? };
    let response = LocalAuthorityClient::new(channel).revoke_jwt_authority(request).await;
    let response = response.context("could not revoke JWT authority")?.into_inner();
    call.print(&response, |streams, response| print_one(streams, KIND, "Revoked", response.revoked_authority.as_ref()))
}

const KIND: Kind = Kind::Jwt;
