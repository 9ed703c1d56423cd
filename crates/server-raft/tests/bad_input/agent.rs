//! An agent by hand.

use std::sync::Arc;

use steeple_agent::identity::{AgentSvid, KEY_IDS, attest};
use steeple_core::plugin::AgentNodeAttestor;
use steeple_core::{Clock, Secret, SystemClock, TrustDomain};
use steeple_plugins::join_token::JoinTokenAttestor;
use steeple_plugins::key_manager::MemoryKeys;
use steeple_testkit::Server;
use steeple_transport::client::{ServerDialer, server_channel};
use steeple_transport::tls::{KeyExchange, ServerIdVerifier, TrustRoots, client_config};

/// Attests with `token`, which must be good.
pub async fn attested(server: &Server, token: &str) -> AgentSvid {
    let trust_domain = TrustDomain::from_name("example.org").expect("a name");
    let roots = server.admin().bundle().await.expect("a bundle").x509_authorities;
    let ders: Vec<Vec<u8>> = roots.into_iter().map(|root| root.asn1).collect();
    let roots = TrustRoots::empty().with(trust_domain.clone(), &ders).expect("roots").into_shared();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let verifier = ServerIdVerifier::new(roots, trust_domain.server_id());
    let tls = client_config(verifier, None, KeyExchange::Compatible, clock).expect("a configuration");
    let address = server.api_address();
    let authority = address.parse().expect("an authority");
    let channel = server_channel(ServerDialer::new([address], tls), authority).expect("a channel");
    let attestor: Arc<dyn AgentNodeAttestor> =
        Arc::new(JoinTokenAttestor::new(Some(Secret::new(token.as_bytes().to_vec()))));
    attest(channel, &attestor, &MemoryKeys::default(), KEY_IDS[0], &trust_domain).await.expect("it attests")
}
