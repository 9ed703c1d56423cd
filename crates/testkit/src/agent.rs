//! An agent process.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use steeple_api::health::HealthCheckRequest;
use steeple_api::health::health_client::HealthClient;
use steeple_transport::client::uds_channel;

use crate::hcl::Hcl;
use crate::{Binaries, NodeCertificate, Process, until};

/// Attestation and the first sync; the agent itself gives up after a minute.
const READY_MAX: Duration = Duration::from_secs(90);
const STOP_MAX: Duration = Duration::from_secs(45);

/// What an agent is configured to be.
#[derive(Clone, Debug)]
pub struct AgentSpec {
    pub name: String,
    pub trust_domain: String,
    /// `host:port` each.
    pub servers: Vec<String>,
    /// PEM file with the roots of the trust domain.
    pub trust_bundle: PathBuf,
    pub attestation: Attestation,
    pub log_level: String,
    /// Further lines of the `agent` section.
    pub lines: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum Attestation {
    JoinToken(String),
    X509Pop(NodeCertificate),
    /// Another attestor, by its name and what is inside its `plugin_data { }`.
    Plugin {
        name: String,
        data: String,
    },
    /// Another one, by its whole block of the `plugins` section.
    Block(String),
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    dir: PathBuf,
    program: PathBuf,
    process: Process,
}

impl Agent {
    /// Writes the configuration into `dir/<name>` and starts the process. [`Agent::ready`] waits for it.
    pub fn start(binaries: &Binaries, dir: &Path, spec: &AgentSpec) -> anyhow::Result<Self> {
        Self::start_with(binaries, dir, spec, &[])
    }

    /// With workload attestors beside `unix`, each a block of the `plugins` section.
    pub fn start_with(binaries: &Binaries, dir: &Path, spec: &AgentSpec, attestors: &[String]) -> anyhow::Result<Self> {
        Self::start_with_keys(binaries, dir, spec, attestors, None)
    }

    /// With another key manager than `disk`, by its block.
    pub fn start_with_keys(
        binaries: &Binaries,
        dir: &Path,
        spec: &AgentSpec,
        attestors: &[String],
        keys: Option<&str>,
    ) -> anyhow::Result<Self> {
        let dir = dir.join(&spec.name);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        std::fs::write(dir.join(CONFIG), configuration(spec, attestors, keys, &dir)?)?;
        let process = launch(&binaries.agent, &spec.name, &dir)?;
        Ok(Self { dir, program: binaries.agent.clone(), process })
    }

    /// With more beside the sections `agent` and `plugins`.
    pub fn start_with_top(binaries: &Binaries, dir: &Path, spec: &AgentSpec, top: &str) -> anyhow::Result<Self> {
        let dir = dir.join(&spec.name);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        std::fs::write(dir.join(CONFIG), configuration(spec, &[], None, &dir)? + top + "\n")?;
        let process = launch(&binaries.agent, &spec.name, &dir)?;
        Ok(Self { dir, program: binaries.agent.clone(), process })
    }

    /// Starts a process with the same configuration and data again, after the one before it has ended.
    pub fn restart(&mut self, binaries: &Binaries) -> anyhow::Result<()> {
        let name = self.process.name().to_owned();
        self.program = binaries.agent.clone();
        self.process = launch(&self.program, &name, &self.dir)?;
        Ok(())
    }

    /// Waits until the Workload API is served, which it is after attestation and the first sync.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let channel = uds_channel(&self.socket());
        let answers = until("agent is ready", READY_MAX, async || {
            HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await
        });
        let outcome = tokio::select! {
            status = self.process.exited() => Err(format!("ended ({})", status?)),
            ready = answers => ready.map(|_| ()).map_err(|error| format!("failed: {error:#}")),
        };
        outcome.map_err(|what| self.process.failure(&what))
    }

    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let status = self.process.terminate(STOP_MAX).await?;
        if status.success() { Ok(()) } else { Err(self.process.failure(&format!("ended ({status})"))) }
    }

    /// The Workload API's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join(SOCKET)
    }

    /// Where it keeps its SVID and keys.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join(DATA)
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    pub fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What all its processes printed.
    pub fn log(&self) -> std::io::Result<String> {
        std::fs::read_to_string(self.dir.join(LOG))
    }

    /// Runs the agent's command line against its own Workload API, as the calling user.
    pub async fn cli(&self, args: &[&str]) -> anyhow::Result<Output> {
        let output = self.cli_output(args).await?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`steeple-agent {}` failed ({}): {text}", args.join(" "), output.status);
        Ok(output)
    }

    /// The same, whether it succeeds or not.
    pub async fn cli_output(&self, args: &[&str]) -> anyhow::Result<Output> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(args).arg("-socketPath").arg(self.socket()).kill_on_drop(true);
        Ok(tokio::time::timeout(CLI_MAX, command.output()).await.context("the command line hangs")??)
    }
}

fn launch(program: &Path, name: &str, dir: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(program);
    command.arg("run").arg("-config").arg(dir.join(CONFIG)).current_dir(dir);
    Process::start(name, command, &dir.join(LOG))
}

fn configuration(spec: &AgentSpec, attestors: &[String], keys: Option<&str>, dir: &Path) -> anyhow::Result<String> {
    let (first, others) = spec.servers.split_first().context("an agent needs a server")?;
    let (host, port) = first.rsplit_once(':').context("a server is host:port")?;
    let port: u64 = port.parse().context("a server is host:port")?;
    let mut file = Hcl::default();
    file.block("agent", |agent| {
        agent.text("trust_domain", &spec.trust_domain);
        agent.text("server_address", host);
        agent.number("server_port", port);
        if !others.is_empty() {
            agent.texts("server_addresses", others);
        }
        agent.path("socket_path", &dir.join(SOCKET));
        agent.path("data_dir", &dir.join(DATA));
        agent.path("trust_bundle_path", &spec.trust_bundle);
        agent.text("log_level", &spec.log_level);
        if let Attestation::JoinToken(token) = &spec.attestation {
            agent.text("join_token", token);
        }
        for line in &spec.lines {
            agent.line(line);
        }
    });
    file.block("plugins", |plugins| {
        match &spec.attestation {
            Attestation::Plugin { name, data: lines } => plugins.block(&format!("NodeAttestor {name:?}"), |plugin| {
                plugin.block("plugin_data", |data| data.line(lines));
            }),
            Attestation::Block(block) => plugins.line(block),
            Attestation::JoinToken(_) => {
                plugins.block("NodeAttestor \"join_token\"", |plugin| plugin.block("plugin_data", |_| {}));
            }
            Attestation::X509Pop(node) => plugins.block("NodeAttestor \"x509pop\"", |plugin| {
                plugin.block("plugin_data", |data| {
                    data.path("private_key_path", &node.private_key_path);
                    data.path("certificate_path", &node.certificate_path);
                });
            }),
        }
        match keys {
            Some(block) => plugins.line(block),
            None => plugins.block("KeyManager \"disk\"", |plugin| {
                plugin.block("plugin_data", |data| data.path("directory", &dir.join(DATA)));
            }),
        }
        plugins.block("WorkloadAttestor \"unix\"", |plugin| plugin.block("plugin_data", |_| {}));
        for attestor in attestors {
            plugins.line(attestor);
        }
    });
    Ok(file.finish())
}

const CONFIG: &str = "agent.conf";
const SOCKET: &str = "api.sock";
const DATA: &str = "data";
const LOG: &str = "log";
const CLI_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use steeple_config::{AgentOverrides, Supported, load_agent};

    use super::*;

    #[test]
    fn the_configuration_says_what_the_spec_says() {
        let dir = tempfile::tempdir().unwrap();
        let spec = AgentSpec {
            name: "agent-a".to_owned(),
            trust_domain: "x.test".to_owned(),
            servers: vec!["127.0.0.1:20001".to_owned(), "127.0.0.1:20002".to_owned()],
            trust_bundle: dir.path().join("bundle.pem"),
            attestation: Attestation::JoinToken("token".to_owned()),
            log_level: "INFO".to_owned(),
            lines: vec!["insecure_bootstrap = false".to_owned()],
        };
        let path = dir.path().join(CONFIG);
        std::fs::write(&path, configuration(&spec, &[], None, dir.path()).unwrap()).unwrap();
        let supported = Supported { plugins: None, external: &[], refused_keys: &[] };
        let loaded = load_agent(Some(&path), false, &AgentOverrides::default(), &supported).unwrap().settings;
        let servers: Vec<String> = loaded.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, spec.servers);
        assert_eq!(loaded.plugins.len(), 3);
        assert_eq!(loaded.join_token.unwrap().expose(), b"token");
    }
}
