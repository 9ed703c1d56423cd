//! One server, one agent and some entries: what most clients of the Workload API need around them.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use steeple_api::types;

use crate::{
    Agent, AgentSpec, Attestation, Binaries, ExtraLines, Scratch, Server, ServerSpec, own_uid_selector, workload_entry,
};

const TRUST_DOMAIN: &str = "example.org";
const TOKEN_TTL: Duration = Duration::from_secs(600);

/// An entry for every process of the caller's user, on the fixture's agent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FixtureEntry {
    /// Of the SPIFFE ID.
    pub path: String,
    pub dns_names: Vec<String>,
    pub hint: String,
    /// Seconds; 0 is the server's default.
    pub x509_svid_ttl: i32,
    pub jwt_svid_ttl: i32,
}

#[derive(Debug)]
pub struct Fixture {
    pub server: Server,
    pub agent: Agent,
    pub agent_id: types::Spiffeid,
    /// The trust domain's bundle at the start, and the same in PEM.
    pub bundle: types::Bundle,
    pub bundle_path: PathBuf,
    pub scratch: Scratch,
}

impl Fixture {
    /// When this returns, the agent serves the entries.
    pub async fn start(entries: &[FixtureEntry]) -> anyhow::Result<Self> {
        Self::of(&Binaries::find()?, entries).await
    }

    /// As [`Fixture::start`], with JWT-SVIDs that name their issuer, if it is given, and more in the configuration.
    pub async fn with(
        jwt_issuer: Option<String>,
        extra: &ExtraLines,
        entries: &[FixtureEntry],
    ) -> anyhow::Result<Self> {
        Self::around(&Binaries::find()?, &ServerSpec { jwt_issuer, ..server_spec() }, extra, entries).await
    }

    /// With programs that may be stock SPIRE's: the configuration has nothing of our own.
    pub async fn of(binaries: &Binaries, entries: &[FixtureEntry]) -> anyhow::Result<Self> {
        Self::around(binaries, &server_spec(), &ExtraLines::default(), entries).await
    }

    async fn around(
        binaries: &Binaries,
        server: &ServerSpec,
        extra: &ExtraLines,
        entries: &[FixtureEntry],
    ) -> anyhow::Result<Self> {
        let scratch = Scratch::new()?;
        let mut server = Server::start_with(binaries, scratch.path(), server, extra)?;
        server.ready().await?;

        // The token tells the agent's ID, so that its entries are there before it asks for the first time.
        let token = server.admin().create_join_token(TOKEN_TTL).await?;
        let agent_id =
            types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: format!("/spire/agent/join_token/{token}") };
        for wanted in entries {
            server.admin().create_entry(wanted.entry(&agent_id)).await?;
        }
        let bundle = server.admin().bundle().await?;
        let bundle_path = scratch.join("bundle.pem");
        std::fs::write(&bundle_path, pem(&bundle))?;

        let spec = AgentSpec {
            name: "agent".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            servers: vec![server.api_address()],
            trust_bundle: bundle_path.clone(),
            attestation: Attestation::JoinToken(token),
            log_level: "DEBUG".to_owned(),
            lines: Vec::new(),
        };
        let mut agent = Agent::start(binaries, scratch.path(), &spec)?;
        agent.ready().await?;
        Ok(Self { server, agent, agent_id, bundle, bundle_path, scratch })
    }

    /// Orderly, and complains about whatever does not end well.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.agent.stop().await?;
        self.server.stop().await?;
        self.scratch.remove()
    }
}

impl FixtureEntry {
    fn entry(&self, parent: &types::Spiffeid) -> types::Entry {
        types::Entry {
            dns_names: self.dns_names.clone(),
            hint: self.hint.clone(),
            x509_svid_ttl: self.x509_svid_ttl,
            jwt_svid_ttl: self.jwt_svid_ttl,
            ..workload_entry("", parent, &self.path, vec![own_uid_selector()])
        }
    }
}

fn server_spec() -> ServerSpec {
    ServerSpec {
        name: "server".to_owned(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        cluster: None,
        x509pop_root: None,
        jwt_issuer: None,
        log_level: "DEBUG".to_owned(),
        env: Vec::new(),
    }
}

fn pem(bundle: &types::Bundle) -> String {
    let blocks = bundle.x509_authorities.iter().map(|authority| pem::Pem::new("CERTIFICATE", authority.asn1.clone()));
    blocks.map(|block| pem::encode(&block)).collect()
}
