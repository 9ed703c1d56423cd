//! An S3 server of its own: versitygw, which checks signatures and keeps objects as files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpStream;

use crate::web_certificate::WebCertificate;
use crate::{Port, Process, until};

/// Names its program.
const PROGRAM: &str = "STEEPLE_S3_SERVER";
const READY_MAX: Duration = Duration::from_secs(60);

/// A running server with one bucket and one account.
#[derive(Debug)]
pub struct S3Server {
    dir: PathBuf,
    port: Port,
    certificate: Option<WebCertificate>,
    _process: Process,
}

impl S3Server {
    pub const BUCKET: &str = "backups";
    pub const REGION: &str = "eu-test-1";
    pub const ACCESS_KEY_ID: &str = "steeple-access";

    /// Where the environment names it; without it the test that asks is not run, and says so.
    pub fn program() -> Option<PathBuf> {
        let program = std::env::var_os(PROGRAM).map(PathBuf::from);
        if program.is_none() {
            eprintln!("not run: {PROGRAM} is not set");
        }
        program
    }

    /// In `dir/s3`; `secret_access_key` is that of its account.
    pub async fn start(program: PathBuf, dir: &Path, secret_access_key: &str, tls: bool) -> anyhow::Result<Self> {
        let dir = dir.join("s3");
        for folder in [dir.join(OBJECTS).join(Self::BUCKET), dir.join(FACTS)] {
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let port = Port::reserve()?;
        let certificate = if tls { Some(WebCertificate::write(&dir)?) } else { None };
        let mut command = Command::new(program);
        command.env("ROOT_ACCESS_KEY_ID", Self::ACCESS_KEY_ID).env("ROOT_SECRET_ACCESS_KEY", secret_access_key);
        command.args(["--port", &port.address(), "--region", Self::REGION]);
        if let Some(WebCertificate { certificate, key, .. }) = &certificate {
            command.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        // Beside the objects, because not every file system has attributes for them.
        command.arg("posix").arg("--sidecar").arg(dir.join(FACTS)).arg(dir.join(OBJECTS));
        let process = Process::start("s3", command, &dir.join("log"))?;
        until("the S3 server listens", READY_MAX, async || TcpStream::connect(port.address()).await.map(drop)).await?;
        Ok(Self { dir, port, certificate, _process: process })
    }

    pub fn address(&self) -> String {
        self.port.address()
    }

    pub fn endpoint(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// PEM: who vouches for it, where it has TLS.
    pub fn roots(&self) -> Option<PathBuf> {
        self.certificate.as_ref().map(|certificate| certificate.roots.clone())
    }

    /// The file that holds the object `key`.
    pub fn object(&self, key: &str) -> PathBuf {
        self.dir.join(OBJECTS).join(Self::BUCKET).join(key)
    }

    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }
}

const OBJECTS: &str = "objects";
const FACTS: &str = "facts";
