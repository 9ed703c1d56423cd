//! A server process.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::hcl::Hcl;
use crate::{Admin, Binaries, Port, Process, until};

/// A cold start on a busy machine, with an election and the first keys.
const READY_MAX: Duration = Duration::from_secs(90);
/// The server's own limit for draining, and some.
const STOP_MAX: Duration = Duration::from_secs(45);

/// What a server is configured to be.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    pub name: String,
    pub trust_domain: String,
    /// `None`: alone, without a peer port.
    pub cluster: Option<ClusterRole>,
    /// Root of the nodes' certificates; x509pop is off without.
    pub x509pop_root: Option<PathBuf>,
    /// The `iss` claim of JWT-SVIDs; they have none without.
    pub jwt_issuer: Option<String>,
    pub log_level: String,
    /// Added to the environment of the process.
    pub env: Vec<(String, String)>,
}

/// Lines of configuration that only some tests need, as they stand in the file.
#[derive(Clone, Debug, Default)]
pub struct ExtraLines {
    /// Inside `server { }`.
    pub server: String,
    /// Inside its `cluster { }`, where there is one.
    pub cluster: String,
    /// Inside `plugins { }`.
    pub plugins: String,
    /// Beside it.
    pub top: String,
}

/// A replica's part in its cluster.
#[derive(Clone, Debug)]
pub struct ClusterRole {
    /// Peer addresses of members; empty: this one founds the cluster.
    pub join: Vec<String>,
    pub sealing_key_path: PathBuf,
}

/// A server with a directory, ports and, unless it was stopped, a process.
#[derive(Debug)]
pub struct Server {
    name: String,
    dir: PathBuf,
    program: PathBuf,
    env: Vec<(String, String)>,
    api: Port,
    peer: Port,
    admin: Admin,
    process: Option<Process>,
}

impl Server {
    /// Writes the configuration into `dir/<name>` and starts the process. [`Server::ready`] waits for it.
    pub fn start(binaries: &Binaries, dir: &Path, spec: &ServerSpec) -> anyhow::Result<Self> {
        Self::start_with(binaries, dir, spec, &ExtraLines::default())
    }

    /// As [`Server::start`], with more in the configuration.
    pub fn start_with(binaries: &Binaries, dir: &Path, spec: &ServerSpec, extra: &ExtraLines) -> anyhow::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, binaries, dir, spec, extra)
    }

    /// As [`Server::start_with`], at another address, where `binaries` are of a program that can bind it.
    pub fn start_at(
        host: Ipv4Addr,
        binaries: &Binaries,
        dir: &Path,
        spec: &ServerSpec,
        extra: &ExtraLines,
    ) -> anyhow::Result<Self> {
        let dir = dir.join(&spec.name);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let (api, peer) = (Port::reserve()?.on(host), Port::reserve()?.on(host));
        std::fs::write(dir.join(CONFIG), configuration(spec, &dir, &api, &peer, extra))?;
        let mut server = Self {
            name: spec.name.clone(),
            program: binaries.server.clone(),
            env: spec.env.clone(),
            admin: Admin::at(&dir.join(SOCKET)),
            dir,
            api,
            peer,
            process: None,
        };
        server.launch()?;
        Ok(server)
    }

    /// Starts the process with another configuration in place of the one before, at the same addresses.
    pub fn launch_anew(&mut self, spec: &ServerSpec, extra: &ExtraLines) -> anyhow::Result<()> {
        self.configure(spec, extra)?;
        self.launch()
    }

    /// Writes another configuration in place of the one before, for the next process.
    pub fn configure(&self, spec: &ServerSpec, extra: &ExtraLines) -> anyhow::Result<()> {
        std::fs::write(self.config(), configuration(spec, &self.dir, &self.api, &self.peer, extra))?;
        Ok(())
    }

    /// Starts the process again after [`Server::kill9`] or [`Server::stop`].
    pub fn launch(&mut self) -> anyhow::Result<()> {
        self.launch_with(&[])
    }

    fn launch_with(&mut self, flags: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("run").arg("-config").arg(self.config()).args(flags).current_dir(&self.dir);
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        self.process = Some(Process::start(&self.name, command, &self.log())?);
        Ok(())
    }

    /// As [`Server::launch`] with another program, whose directory and configuration stay the same. `flags` are for
    /// this process alone.
    pub fn launch_as(&mut self, binaries: &Binaries, flags: &[&str]) -> anyhow::Result<()> {
        self.program = binaries.server.clone();
        self.launch_with(flags)
    }

    /// Waits until agents can attest here.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let admin = self.admin.clone();
        let answers = until("server is ready", READY_MAX, async || admin.info().await);
        let process = self.process.as_mut().context("the server is stopped")?;
        let outcome = tokio::select! {
            status = process.exited() => Err(format!("ended ({})", status?)),
            ready = answers => ready.map(|_| ()).map_err(|error| format!("failed: {error:#}")),
        };
        outcome.map_err(|what| process.failure(&what))
    }

    pub async fn kill9(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill9().await,
            None => Ok(()),
        }
    }

    /// SIGTERM, and waits for the orderly end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let status = process.terminate(STOP_MAX).await?;
        if status.success() { Ok(()) } else { Err(process.failure(&format!("ended ({status})"))) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    pub fn admin_socket(&self) -> PathBuf {
        self.dir.join(SOCKET)
    }

    /// `host:port` of the API for agents.
    pub fn api_address(&self) -> String {
        self.api.address()
    }

    pub fn peer_address(&self) -> String {
        self.peer.address()
    }

    /// The server's binary.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where stock servers keep their records, and where they keep their keys; ours use neither.
    pub fn spire_files(&self) -> [PathBuf; 2] {
        [self.dir.join(SPIRE_DATASTORE), self.dir.join(SPIRE_KEYS)]
    }

    pub fn config(&self) -> PathBuf {
        self.dir.join(CONFIG)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.join(DATA)
    }

    /// What all its processes printed.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// `None` while it is stopped.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    pub fn process_mut(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// `what` with the end of the log.
    pub fn failure(&self, what: &str) -> anyhow::Error {
        match &self.process {
            Some(process) => process.failure(what),
            None => anyhow::anyhow!("{} (stopped) {what}", self.name),
        }
    }
}

fn configuration(spec: &ServerSpec, dir: &Path, api: &Port, peer: &Port, extra: &ExtraLines) -> String {
    let mut file = Hcl::default();
    file.block("server", |server| {
        server.text("trust_domain", &spec.trust_domain);
        server.text("bind_address", &api.host().to_string());
        server.number("bind_port", api.number().into());
        server.path("socket_path", &dir.join(SOCKET));
        server.path("data_dir", &dir.join(DATA));
        server.text("log_level", &spec.log_level);
        if let Some(issuer) = &spec.jwt_issuer {
            server.text("jwt_issuer", issuer);
        }
        // Many nodes come from one address here, and load is to be limited by what the server can do.
        server.block("ratelimit", |limits| {
            limits.flag("attestation", false);
            limits.flag("signing", false);
        });
        server.line(&extra.server);
        if let Some(role) = &spec.cluster {
            server.block("cluster", |cluster| {
                cluster.text("name", &spec.name);
                cluster.text("peer_bind_address", &peer.host().to_string());
                cluster.number("peer_bind_port", peer.number().into());
                cluster.path("sealing_key_path", &role.sealing_key_path);
                // A test waits for what it is about.
                cluster.text("promote_after", "0s");
                match role.join.as_slice() {
                    [] => cluster.flag("bootstrap", true),
                    members => cluster.texts("join", members),
                }
                cluster.line(&extra.cluster);
            });
        }
    });
    file.block("plugins", |plugins| {
        if spec.cluster.is_none() {
            // A file without a `cluster` section is read as one of SPIRE's, which has both; stock servers use them.
            plugins.block("KeyManager \"disk\"", |plugin| {
                plugin.block("plugin_data", |data| data.path("keys_path", &dir.join(SPIRE_KEYS)));
            });
            plugins.block("DataStore \"sql\"", |plugin| {
                plugin.block("plugin_data", |data| {
                    data.text("database_type", "sqlite3");
                    data.path("connection_string", &dir.join(SPIRE_DATASTORE));
                });
            });
        }
        plugins.block("NodeAttestor \"join_token\"", |plugin| plugin.block("plugin_data", |_| {}));
        if let Some(root) = &spec.x509pop_root {
            plugins.block("NodeAttestor \"x509pop\"", |plugin| {
                plugin.block("plugin_data", |data| data.path("ca_bundle_path", root));
            });
        }
        plugins.line(&extra.plugins);
    });
    file.line(&extra.top);
    file.finish()
}

const CONFIG: &str = "server.conf";
const SOCKET: &str = "api.sock";
const DATA: &str = "data";
const SPIRE_DATASTORE: &str = "spire.sqlite3";
const SPIRE_KEYS: &str = "spire-keys.json";

#[cfg(test)]
mod tests {
    use steeple_config::{ServerOverrides, Supported, load_server};

    use super::*;

    #[test]
    fn the_configuration_says_what_the_spec_says() {
        let dir = tempfile::tempdir().unwrap();
        let (api, peer) = (Port::reserve().unwrap(), Port::reserve().unwrap());
        let sealing_key_path = dir.path().join("a \"quoted\" key");
        let role = |join| ClusterRole { join, sealing_key_path: sealing_key_path.clone() };
        let load = |cluster| {
            let spec = ServerSpec {
                name: "server-1".to_owned(),
                trust_domain: "x.test".to_owned(),
                cluster,
                x509pop_root: Some(dir.path().join("root.pem")),
                jwt_issuer: None,
                log_level: "INFO".to_owned(),
                env: Vec::new(),
            };
            let extra = ExtraLines {
                server: "federation { federates_with \"y.test\" { bundle_endpoint_url = \"https://y.test\" \
                         bundle_endpoint_profile \"https_web\" {} } }"
                    .to_owned(),
                cluster: "snapshot_entries = 200".to_owned(),
                plugins: "UpstreamAuthority \"disk\" { plugin_data { key_file_path = \"a\" } }".to_owned(),
                top: "telemetry { Prometheus { port = 9988 } }".to_owned(),
            };
            let path = dir.path().join(CONFIG);
            std::fs::write(&path, configuration(&spec, dir.path(), &api, &peer, &extra)).unwrap();
            let supported = Supported { plugins: None, external: &[], refused_keys: &[] };
            load_server(Some(&path), false, &ServerOverrides::default(), &supported).unwrap().settings
        };
        let founder = load(Some(role(Vec::new())));
        assert!(founder.cluster.enabled && founder.cluster.bootstrap && founder.cluster.join.is_empty());
        assert_eq!((founder.bind.port, founder.cluster.peer_bind.port), (api.number(), peer.number()));
        assert_eq!(founder.cluster.sealing_key_path, sealing_key_path);
        assert_eq!(founder.cluster.snapshot_entries, 200);
        assert_eq!(founder.plugins.len(), 3);
        let joiner = load(Some(role(vec![peer.address()])));
        assert!(!joiner.cluster.bootstrap);
        assert_eq!(joiner.cluster.join[0].to_string(), peer.address());
        let alone = load(None);
        assert!(!alone.cluster.enabled);
        assert_eq!(alone.federation.relationships.len(), 1);
        assert!(alone.telemetry.prometheus.is_some());
    }
}
