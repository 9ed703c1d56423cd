//! An attested node that asks each replica for X.509-SVIDs, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, KeyPair, SanType};
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::{
    AgentX509svidParams, AttestAgentRequest, attest_agent_request, attest_agent_response,
};
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_api::server::svid::{BatchNewX509svidRequest, NewX509svidParams};
use steeple_api::types;
use steeple_core::{Clock, Secret, SpiffeId, SystemClock, TrustDomain};
use steeple_testkit::{Admin, own_uid_selector, workload_entry};
use steeple_transport::client::{ServerDialer, server_channel};
use steeple_transport::tls::{
    Identity, IdentitySink as _, IdentityStore, KeyExchange, ServerIdVerifier, SharedRoots, TrustRoots, Usage,
    client_config,
};
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::Channel;

use super::late::acknowledge_late;
use crate::suite::site::{Site, TRUST_DOMAIN};

const TOKEN_TTL: Duration = Duration::from_secs(600);
const CALL_MAX: Duration = Duration::from_secs(20);
/// Between two calls to one replica.
const PAUSE: Duration = Duration::from_millis(250);
const ENTRY: &str = "asked-for";

/// It asks as long as the value is there.
pub(super) struct Node {
    _callers: JoinSet<()>,
    items: Arc<AtomicUsize>,
    /// To the first replica.
    channel: Channel,
    id: types::Spiffeid,
}

impl Node {
    /// Attests with a join token and gets an entry of its own.
    pub(super) async fn attach(site: &Site) -> anyhow::Result<Self> {
        let admin = site.cluster.servers[0].admin();
        let trust_domain = TrustDomain::from_name(TRUST_DOMAIN)?;
        let roots = roots_of(site, 0).await?;
        let token = admin.create_join_token(TOKEN_TTL).await?;
        let key = KeyPair::generate()?;
        let csr = csr(&key, &trust_domain)?;
        let svid = attest(anonymous(site, 0).await?, token.clone(), csr.clone()).await?;
        let parent =
            types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: format!("/spire/agent/join_token/{token}") };
        admin.create_entry(workload_entry(ENTRY, &parent, "/asked-for", vec![own_uid_selector()])).await?;

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let own = trust_domain.clone();
        let permits = Arc::new(move |id: &SpiffeId| id.is_member_of(&own));
        let identity = IdentityStore::new(Arc::clone(&roots), permits, Usage::Client, Arc::clone(&clock));
        let key = Secret::new(key.serialize_der()).into();
        identity.publish(&Identity { chain: svid.cert_chain, key })?;
        let verifier = ServerIdVerifier::new(roots, trust_domain.server_id());
        let tls = client_config(verifier, Some(identity), KeyExchange::Compatible, clock)?;
        let (items, mut callers) = (Arc::new(AtomicUsize::new(1)), JoinSet::new());
        let mut channels = Vec::new();
        for address in site.cluster.api_addresses() {
            let authority = address.parse()?;
            let channel = server_channel(ServerDialer::new([address], Arc::clone(&tls)), authority)?;
            callers.spawn(ask_on(channel.clone(), csr.clone(), Arc::clone(&items)));
            channels.push(channel);
        }
        let channel = channels.into_iter().next().context("a cluster has a replica")?;
        Ok(Self { _callers: callers, items, channel, id: parent })
    }

    /// As long as the value is there the node's entries change, and it acknowledges each change after `delay`.
    pub(super) async fn acknowledge_late(&self, admin: Admin, delay: Duration) -> anyhow::Result<JoinSet<()>> {
        acknowledge_late(self.channel.clone(), admin, self.id.clone(), delay).await
    }

    /// From now on it asks for so many in one call.
    pub(super) fn ask_for(&self, items: usize) {
        self.items.store(items, Ordering::Relaxed);
    }
}

/// To one replica, without a certificate.
pub(super) async fn anonymous(site: &Site, position: usize) -> anyhow::Result<Channel> {
    let verifier =
        ServerIdVerifier::new(roots_of(site, position).await?, TrustDomain::from_name(TRUST_DOMAIN)?.server_id());
    let tls = client_config(verifier, None, KeyExchange::Compatible, Arc::new(SystemClock))?;
    let address = site.cluster.servers[position].api_address();
    let authority = address.parse()?;
    Ok(server_channel(ServerDialer::new([address], tls), authority)?)
}

async fn roots_of(site: &Site, position: usize) -> anyhow::Result<SharedRoots> {
    let roots = site.cluster.servers[position].admin().bundle().await?.x509_authorities;
    let ders: Vec<Vec<u8>> = roots.into_iter().map(|root| root.asn1).collect();
    Ok(TrustRoots::empty().with(TrustDomain::from_name(TRUST_DOMAIN)?, &ders)?.into_shared())
}

fn csr(key: &KeyPair, trust_domain: &TrustDomain) -> anyhow::Result<Vec<u8>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.subject_alt_names.push(SanType::URI(Ia5String::try_from(trust_domain.id().as_str())?));
    Ok(params.serialize_request(key)?.der().to_vec())
}

async fn attest(channel: Channel, token: String, csr: Vec<u8>) -> anyhow::Result<types::X509svid> {
    let data = types::AttestationData { r#type: "join_token".to_owned(), payload: token.into_bytes() };
    let params = attest_agent_request::Params { data: Some(data), params: Some(AgentX509svidParams { csr }) };
    let first = AttestAgentRequest { step: Some(attest_agent_request::Step::Params(params)) };
    let mut answers = AgentClient::new(channel).attest_agent(tokio_stream::once(first)).await?.into_inner();
    match answers.message().await?.and_then(|answer| answer.step) {
        Some(attest_agent_response::Step::Result(result)) => result.svid.context("the server sent no SVID"),
        _ => anyhow::bail!("a join token is not challenged"),
    }
}

/// What comes of a call is for the server's metrics to say.
async fn ask_on(channel: Channel, csr: Vec<u8>, items: Arc<AtomicUsize>) {
    loop {
        let item = NewX509svidParams { entry_id: ENTRY.to_owned(), csr: csr.clone() };
        let params = vec![item; items.load(Ordering::Relaxed)];
        let mut request = Request::new(BatchNewX509svidRequest { params });
        request.set_timeout(CALL_MAX);
        let _ = SvidClient::new(channel.clone()).batch_new_x509svid(request).await;
        tokio::time::sleep(PAUSE).await;
    }
}
