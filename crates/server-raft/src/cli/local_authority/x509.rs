//! `localauthority x509`.

use steeple_api::server::localauthority::local_authority_client::LocalAuthorityClient;
use steeple_api::server::localauthority::{
    ActivateX509AuthorityRequest, GetX509AuthorityStateRequest, PrepareX509AuthorityRequest,
    RevokeX509AuthorityRequest, TaintX509AuthorityRequest,
};
use steeple_cli::{Call, Context, Failure};
use tonic::transport::Channel;

use super::authority_id;
use super::print::{Kind, print_all, print_one};

pub(super) async fn show(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let response = LocalAuthorityClient::new(channel).get_x509_authority_state(GetX509AuthorityStateRequest {}).await;
    let response = response.context("could not get X.509 authorities")?.into_inner();
    call.print(&response, |streams, response| {
        print_all(streams, KIND, [response.active.as_ref(), response.prepared.as_ref(), response.old.as_ref()])
    })
}

pub(super) async fn prepare(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let response = LocalAuthorityClient::new(channel).prepare_x509_authority(PrepareX509AuthorityRequest {}).await;
    let response = response.context("could not prepare X.509 authority")?.into_inner();
    call.print(&response, |streams, response| {
        print_one(streams, KIND, "Prepared", response.prepared_authority.as_ref())
    })
}

pub(super) async fn activate(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = ActivateX509AuthorityRequest { authority_id: authority_id(&call.values)? };
    let response = LocalAuthorityClient::new(channel).activate_x509_authority(request).await;
    let response = response.context("could not activate X.509 authority")?.into_inner();
    call.print(&response, |streams, response| {
        print_one(streams, KIND, "Activated", response.activated_authority.as_ref())
    })
}

pub(super) async fn taint(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = TaintX509AuthorityRequest { authority_id: authority_id(&call.values)? };
    let response = LocalAuthorityClient::new(channel).taint_x509_authority(request).await;
    let response = response.context("could not taint X.509 authority")?.into_inner();
    call.print(&response, |streams, response| print_one(streams, KIND, "Tainted", response.tainted_authority.as_ref()))
}

pub(super) async fn revoke(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = RevokeX509AuthorityRequest { authority_id: authority_id(&call.values)? };
    let response = LocalAuthorityClient::new(channel).revoke_x509_authority(request).await;
    let response = response.context("could not revoke X.509 authority")?.into_inner();
    call.print(&response, |streams, response| print_one(streams, KIND, "Revoked", response.revoked_authority.as_ref()))
}

const KIND: Kind = Kind::X509;
