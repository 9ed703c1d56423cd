//! A simulated agent: it attests, and asks for SVIDs without any workload behind it.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, KeyPair, SanType};
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::{
    AgentX509svidParams, AttestAgentRequest, attest_agent_request, attest_agent_response,
};
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_api::server::svid::{BatchNewX509svidRequest, NewJwtsvidRequest, NewX509svidParams};
use steeple_api::types;
use steeple_core::{Clock, Secret, SystemClock, TrustDomain};
use steeple_testkit::Server;
use steeple_transport::client::{ServerDialer, server_channel};
use steeple_transport::tls::{
    Identity, IdentitySink as _, IdentityStore, KeyExchange, ServerIdVerifier, SharedRoots, TrustRoots, Usage,
    client_config,
};
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::scene::{TOKEN_TTL, TRUST_DOMAIN};

/// The SVID and how to reach the server with it.
pub(super) struct Node {
    pub(super) id: types::Spiffeid,
    address: String,
    trust_domain: TrustDomain,
    roots: SharedRoots,
    identity: Arc<IdentityStore>,
    clock: Arc<dyn Clock>,
}

impl Node {
    /// Attests by a join token.
    pub(super) async fn attest(server: &Server) -> anyhow::Result<Self> {
        let token = server.admin().create_join_token(TOKEN_TTL).await?;
        let trust_domain = TrustDomain::from_name(TRUST_DOMAIN)?;
        let ders: Vec<Vec<u8>> =
            server.admin().bundle().await?.x509_authorities.into_iter().map(|root| root.asn1).collect();
        let roots = TrustRoots::empty().with(trust_domain.clone(), &ders)?.into_shared();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let own = trust_domain.clone();
        let permits = Arc::new(move |id: &steeple_core::SpiffeId| id.is_member_of(&own));
        let identity = IdentityStore::new(Arc::clone(&roots), permits, Usage::Client, Arc::clone(&clock));
        let path = format!("/spire/agent/join_token/{token}");
        let node = Self {
            id: types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path },
            address: server.api_address(),
            trust_domain,
            roots,
            identity,
            clock,
        };
        let key = KeyPair::generate()?;
        let chain = node.converse(token, csr(&key, &node.trust_domain.id().to_string())?).await?;
        node.identity.publish(&Identity { chain, key: Secret::new(key.serialize_der()) })?;
        Ok(node)
    }

    /// A connection of its own, which shows the SVID once there is one.
    pub(super) fn connect(&self) -> anyhow::Result<Channel> {
        let verifier = ServerIdVerifier::new(Arc::clone(&self.roots), self.trust_domain.server_id());
        let tls = client_config(
            verifier,
            Some(Arc::clone(&self.identity) as _),
            KeyExchange::Compatible,
            Arc::clone(&self.clock),
        )?;
        Ok(server_channel(ServerDialer::new([self.address.clone()], tls), self.address.parse()?)?)
    }

    async fn converse(&self, token: String, csr: Vec<u8>) -> anyhow::Result<Vec<Vec<u8>>> {
        let params = attest_agent_request::Params {
            data: Some(types::AttestationData { r#type: "join_token".to_owned(), payload: token.into_bytes() }),
            params: Some(AgentX509svidParams { csr }),
        };
        let first = AttestAgentRequest { step: Some(attest_agent_request::Step::Params(params)) };
        let requests = Request::new(tokio_stream::once(first));
        let mut responses = AgentClient::new(self.connect()?).attest_agent(requests).await?.into_inner();
        match responses.message().await?.and_then(|response| response.step) {
            Some(attest_agent_response::Step::Result(result)) => {
                Ok(result.svid.context("no SVID for the agent")?.cert_chain)
            }
            _ => bail!("the server asks for more than a join token"),
        }
    }
}

/// One BatchNewX509SVID; every item has to succeed.
pub(super) async fn new_x509_svids(channel: Channel, params: Vec<NewX509svidParams>) -> anyhow::Result<()> {
    let request = BatchNewX509svidRequest { params };
    let response = SvidClient::new(channel).batch_new_x509svid(request).await?.into_inner();
    for result in response.results {
        let status = result.status.unwrap_or_default();
        anyhow::ensure!(status.code == Code::Ok as i32, "an SVID was refused: {}", status.message);
    }
    Ok(())
}

pub(super) async fn new_jwt_svid(channel: Channel, entry_id: String) -> anyhow::Result<()> {
    let request = NewJwtsvidRequest { entry_id, audience: vec!["figures".to_owned()] };
    SvidClient::new(channel).new_jwtsvid(request).await?.into_inner().svid.context("no token").map(|_| ())
}

/// As an agent makes them; for an entry only the key matters.
pub(super) fn csr(key: &KeyPair, id: &str) -> anyhow::Result<Vec<u8>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.subject_alt_names.push(SanType::URI(Ia5String::try_from(id)?));
    Ok(params.serialize_request(key)?.der().to_vec())
}
