//! Pebble, the small ACME server of Let's Encrypt: the real protocol with a certificate authority of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::net::TcpStream;

use crate::dns_double::DnsDouble;
use crate::web_certificate::WebCertificate;
use crate::{Port, Process, Relay, until};

/// Names its program.
const PROGRAM: &str = "STEEPLE_PEBBLE";
const READY_MAX: Duration = Duration::from_secs(60);

/// A running server; every name leads to [`Pebble::relay`].
#[derive(Debug)]
pub struct Pebble {
    program: PathBuf,
    dir: PathBuf,
    roots: PathBuf,
    api: Port,
    dns: DnsDouble,
    relay: Relay,
    process: Option<Process>,
}

impl Pebble {
    /// Where the environment names it; without it the test that asks is not run, and says so.
    pub fn program() -> Option<PathBuf> {
        let program = std::env::var_os(PROGRAM).map(PathBuf::from);
        if program.is_none() {
            eprintln!("not run: {PROGRAM} is not set");
        }
        program
    }

    /// In `dir/pebble`. Its certificates live for `life`; it gives none for `blocked.test`.
    pub async fn start(program: PathBuf, dir: &Path, life: Duration) -> anyhow::Result<Self> {
        let dir = dir.join("pebble");
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let certificate = WebCertificate::write(&dir)?;
        let (api, dns, relay) = (Port::reserve()?, DnsDouble::start().await?, Relay::start().await?);
        let config = json!({ "pebble": {
            "listenAddress": api.address(),
            "managementListenAddress": "",
            "certificate": certificate.certificate,
            "privateKey": certificate.key,
            "httpPort": 1,
            "tlsPort": relay.port(),
            "domainBlocklist": ["blocked.test"],
            "retryAfter": { "authz": 1, "order": 1 },
            "keyAlgorithm": "ecdsa",
            "profiles": { "default": { "description": "", "validityPeriod": life.as_secs() } },
        } });
        std::fs::write(dir.join(CONFIG), config.to_string())?;
        let mut pebble = Self { program, dir, roots: certificate.roots, api, dns, relay, process: None };
        pebble.launch().await?;
        Ok(pebble)
    }

    /// Starts it again, after [`Pebble::kill9`]; it remembers nothing.
    pub async fn launch(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("-config").arg(self.dir.join(CONFIG)).args(["-dnsserver", &self.dns.address()]);
        // Neither pauses nor refusals by dice, and every order has its proof.
        command.envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0"), ("PEBBLE_AUTHZREUSE", "0")]);
        self.process = Some(Process::start("pebble", command, &self.log())?);
        until("Pebble listens", READY_MAX, async || TcpStream::connect(self.api.address()).await.map(drop)).await
    }

    pub async fn kill9(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill9().await,
            None => Ok(()),
        }
    }

    pub fn directory_url(&self) -> String {
        format!("https://{}/dir", self.api.address())
    }

    /// PEM: who vouches for its API; a client needs it in `SSL_CERT_FILE`.
    pub fn roots(&self) -> PathBuf {
        self.roots.clone()
    }

    /// Where it looks for whoever proves a name.
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }
}

const CONFIG: &str = "pebble.json";
