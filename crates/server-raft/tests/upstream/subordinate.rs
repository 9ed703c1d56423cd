//! A server with an authority above it, and what is to be seen of that from outside.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use steeple_api::server::localauthority::{AuthorityState, GetX509AuthorityStateRequest};
use steeple_api::server::svid::MintX509svidRequest;
use steeple_api::types;
use steeple_ca::{SigningKey, certificate, csr};
use steeple_core::{Clock as _, KeyType, SystemClock, TrustDomain};
use steeple_testkit::{Admin, Binaries, ExtraLines, Scratch, Server, ServerSpec};
use steeple_transport::tls::{TrustRoots, Usage, verify_chain};

pub const TRUST_DOMAIN: &str = "example.org";
/// Nested servers poll every five seconds, agents as often, and machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn spec(name: &str) -> ServerSpec {
    ServerSpec {
        name: name.to_owned(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        cluster: None,
        x509pop_root: None,
        jwt_issuer: None,
        log_level: "debug".to_owned(),
        env: Vec::new(),
    }
}

/// A ready server; `upstream` is its `UpstreamAuthority` block.
pub async fn server(binaries: &Binaries, scratch: &Scratch, name: &str, upstream: String) -> Server {
    let extra = ExtraLines { plugins: upstream, ..ExtraLines::default() };
    let mut server = Server::start_with(binaries, scratch.path(), &spec(name), &extra).expect("the server starts");
    server.ready().await.expect("the server becomes ready");
    server
}

/// The chain of an SVID that `admin` mints, verified against `bundle`.
pub async fn minted_chain(admin: &Admin, bundle: &types::Bundle) -> anyhow::Result<Vec<Vec<u8>>> {
    let trust_domain = TrustDomain::from_name(TRUST_DOMAIN)?;
    let key = SigningKey::generate(KeyType::EcP256)?;
    let csr = csr::request(&key, &trust_domain.member("/w")?, &[])?;
    let minted = admin.svids().mint_x509svid(MintX509svidRequest { csr, ttl: 0 }).await?.into_inner();
    let chain = minted.svid.context("an SVID")?.cert_chain;
    let ders: Vec<_> = chain.iter().map(|der| rustls_pki_types::CertificateDer::from(der.as_slice())).collect();
    let roots: Vec<_> = bundle.x509_authorities.iter().map(|root| &root.asn1).collect();
    let roots = TrustRoots::empty().with(trust_domain, &roots)?;
    verify_chain(&ders, &roots, SystemClock.now(), Usage::Server)?;
    Ok(chain)
}

/// The X.509 authority that signs.
pub async fn active(admin: &Admin) -> anyhow::Result<AuthorityState> {
    let state = admin.local_authorities().get_x509_authority_state(GetX509AuthorityStateRequest {}).await?;
    state.into_inner().active.context("an active authority")
}

/// Whether the root with this subject key id is in the bundle, and tainted there.
pub async fn tainted(admin: &Admin, subject_key_id: &str) -> anyhow::Result<Option<bool>> {
    let bundle = admin.bundle().await?;
    let root = bundle.x509_authorities.iter().find(|root| key_id(&root.asn1) == subject_key_id);
    Ok(root.map(|root| root.tainted))
}

pub fn expect(what: &str, holds: bool) -> anyhow::Result<()> {
    ensure!(holds, "not yet: {what}");
    Ok(())
}

pub fn key_id(der: &[u8]) -> String {
    certificate::facts(der).and_then(|facts| facts.subject_key_id).map(hex::encode).unwrap_or_default()
}
