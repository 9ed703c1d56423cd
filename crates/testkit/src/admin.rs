//! A server's admin socket, as an operator's tools use it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use steeple_api::health::HealthCheckRequest;
use steeple_api::health::health_check_response::ServingStatus;
use steeple_api::health::health_client::HealthClient;
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::{CreateJoinTokenRequest, ListAgentsRequest};
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::server::bundle::{GetBundleRequest, GetFederatedBundleRequest};
use steeple_api::server::debug::debug_client::DebugClient;
use steeple_api::server::debug::{GetInfoRequest, GetInfoResponse};
use steeple_api::server::entry::BatchCreateEntryRequest;
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::localauthority::local_authority_client::LocalAuthorityClient;
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_api::server::trustdomain::RefreshBundleRequest;
use steeple_api::server::trustdomain::trust_domain_client::TrustDomainClient;
use steeple_api::steeple::server::authorities_client::AuthoritiesClient;
use steeple_api::steeple::server::cluster_client::ClusterClient;
use steeple_api::steeple::server::entries_client::EntriesClient;
use steeple_api::steeple::server::{AuthorityStatusRequest, AuthorityStatusResponse, StatusRequest, StatusResponse};
use steeple_api::types;
use steeple_transport::client::uds_channel;
use tonic::transport::Channel;
use tonic::{Code, IntoRequest, Request, Status};

/// Longer than an election with its retries; a call that takes longer is a finding.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Clones share one connection, which is dialled anew when the server comes back.
#[derive(Clone, Debug)]
pub struct Admin {
    channel: Channel,
}

impl Admin {
    pub fn at(socket: &Path) -> Self {
        Self { channel: uds_channel(socket) }
    }

    pub fn entries(&self) -> EntryClient<Channel> {
        EntryClient::new(self.channel.clone())
    }

    /// The part of it that SPIRE does not have.
    pub fn watched_entries(&self) -> EntriesClient<Channel> {
        EntriesClient::new(self.channel.clone())
    }

    pub fn agents(&self) -> AgentClient<Channel> {
        AgentClient::new(self.channel.clone())
    }

    pub fn svids(&self) -> SvidClient<Channel> {
        SvidClient::new(self.channel.clone())
    }

    pub fn bundles(&self) -> BundleClient<Channel> {
        BundleClient::new(self.channel.clone())
    }

    pub fn trust_domains(&self) -> TrustDomainClient<Channel> {
        TrustDomainClient::new(self.channel.clone())
    }

    pub fn local_authorities(&self) -> LocalAuthorityClient<Channel> {
        LocalAuthorityClient::new(self.channel.clone())
    }

    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    /// The signing authorities, and who has not acknowledged the bundle that publishes them.
    pub async fn authority_status(&self) -> Result<AuthorityStatusResponse, Status> {
        let mut client = AuthoritiesClient::new(self.channel.clone());
        Ok(client.status(timed(AuthorityStatusRequest::default())).await?.into_inner())
    }

    /// Fails with `Unavailable` until the server has an SVID of its own, which is when agents can attest.
    pub async fn info(&self) -> Result<GetInfoResponse, Status> {
        let mut client = DebugClient::new(self.channel.clone());
        Ok(client.get_info(timed(GetInfoRequest {})).await?.into_inner())
    }

    pub async fn status(&self) -> Result<StatusResponse, Status> {
        Ok(self.cluster().status(timed(StatusRequest {})).await?.into_inner())
    }

    /// One entry. One that is there already may be what an earlier attempt created, and is returned.
    pub async fn create_entry(&self, entry: types::Entry) -> anyhow::Result<types::Entry> {
        let request = BatchCreateEntryRequest { entries: vec![entry], output_mask: None };
        let response = self.entries().batch_create_entry(timed(request)).await?.into_inner();
        let result = response.results.into_iter().next().context("no result for the entry")?;
        let status = result.status.unwrap_or_default();
        let is_there = matches!(Code::from(status.code), Code::Ok | Code::AlreadyExists);
        ensure!(is_there, "entry was refused: {} (code {})", status.message, status.code);
        result.entry.context("a created entry was not returned")
    }

    /// A join token whose agent gets the usual ID, `/spire/agent/join_token/<token>`.
    pub async fn create_join_token(&self, ttl: Duration) -> Result<String, Status> {
        let ttl = i32::try_from(ttl.as_secs()).unwrap_or(i32::MAX);
        let request = CreateJoinTokenRequest { ttl, token: String::new(), agent_id: None };
        Ok(self.agents().create_join_token(timed(request)).await?.into_inner().value)
    }

    /// The IDs of agents that attested with `attestation_type`.
    pub async fn agent_ids(&self, attestation_type: &str) -> Result<Vec<types::Spiffeid>, Status> {
        let response = self.agents().list_agents(timed(ListAgentsRequest::default())).await?.into_inner();
        let of_type = response.agents.into_iter().filter(|agent| agent.attestation_type == attestation_type);
        Ok(of_type.filter_map(|agent| agent.id).collect())
    }

    /// What `healthcheck` asks.
    pub async fn is_serving(&self) -> Result<bool, Status> {
        let mut health = HealthClient::new(self.channel.clone());
        let answer = health.check(timed(HealthCheckRequest::default())).await?.into_inner();
        Ok(answer.status == i32::from(ServingStatus::Serving))
    }

    /// The bundle of another trust domain.
    pub async fn federated_bundle(&self, trust_domain: &str) -> Result<types::Bundle, Status> {
        let request = GetFederatedBundleRequest { trust_domain: trust_domain.to_owned(), output_mask: None };
        Ok(self.bundles().get_federated_bundle(timed(request)).await?.into_inner())
    }

    /// Fetches it from its endpoint now.
    pub async fn refresh_bundle(&self, trust_domain: &str) -> Result<(), Status> {
        let request = RefreshBundleRequest { trust_domain: trust_domain.to_owned() };
        self.trust_domains().refresh_bundle(timed(request)).await.map(|_| ())
    }

    /// The trust domain's own bundle.
    pub async fn bundle(&self) -> Result<types::Bundle, Status> {
        Ok(self.bundles().get_bundle(timed(GetBundleRequest::default())).await?.into_inner())
    }
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = message.into_request();
    request.set_timeout(CALL_TIMEOUT);
    request
}
