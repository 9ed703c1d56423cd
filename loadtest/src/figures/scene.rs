//! A single server and an agent, with nothing in them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use steeple_testkit::{Agent, AgentSpec, Attestation, Binaries, Scratch, Server, ServerSpec};

/// Until memory that only the start needed has been given back.
const SETTLE: Duration = Duration::from_secs(3);
pub(super) const TOKEN_TTL: Duration = Duration::from_secs(60);

/// Dropping it ends the processes, then removes the directory.
pub(super) struct Scene {
    pub(super) server: Server,
    /// From exec to the first answer that needs a signed SVID.
    pub(super) start_to_ready: Duration,
    binaries: Binaries,
    scratch: Scratch,
}

impl Scene {
    pub(super) async fn new() -> anyhow::Result<Self> {
        let (binaries, scratch) = (Binaries::find()?, Scratch::new()?);
        let spec = ServerSpec {
            name: "server".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            cluster: None,
            x509pop_root: None,
            jwt_issuer: None,
            log_level: "WARN".to_owned(),
            env: Vec::new(),
        };
        let began = Instant::now();
        let mut server = Server::start(&binaries, scratch.path(), &spec)?;
        server.ready().await?;
        Ok(Self { server, start_to_ready: began.elapsed(), binaries, scratch })
    }

    /// The same directory again, after an orderly stop.
    pub(super) async fn restart(&mut self) -> anyhow::Result<Duration> {
        self.server.stop().await?;
        let began = Instant::now();
        self.server.launch()?;
        self.server.ready().await?;
        Ok(began.elapsed())
    }

    pub(super) async fn agent(&self) -> anyhow::Result<Agent> {
        let admin = self.server.admin();
        let token = admin.create_join_token(TOKEN_TTL).await?;
        let roots = admin.bundle().await?.x509_authorities;
        let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        let trust_bundle = self.scratch.join("bundle.pem");
        std::fs::write(&trust_bundle, pem::encode_many(&blocks))?;
        let spec = AgentSpec {
            name: "agent".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            servers: vec![self.server.api_address()],
            trust_bundle,
            attestation: Attestation::JoinToken(token),
            log_level: "WARN".to_owned(),
            lines: Vec::new(),
        };
        let mut agent = Agent::start(&self.binaries, self.scratch.path(), &spec)?;
        agent.ready().await?;
        Ok(agent)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    pub(super) fn server_pid(&self) -> anyhow::Result<i32> {
        Ok(self.server.process().context("the server is stopped")?.pid())
    }

    pub(super) async fn settle() {
        tokio::time::sleep(SETTLE).await;
    }
}

pub(super) const TRUST_DOMAIN: &str = "figures.test";
