//! What we ship beside the programs: configurations, as they are but for paths, ports and host names; dashboards and
//! alert rules.

mod kubernetes;
mod prometheus;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use steeple_testkit::{
    Admin, Binaries, Port, Process, Scratch, WorkloadStream, own_uid_selector, until, workload_entry,
};

/// From this package to what we ship.
const DEPLOY: &str = "../../deploy";
/// Elections, attestation and the first sync on a busy machine.
const EVENT_MAX: Duration = Duration::from_secs(120);
const TOKEN_TTL: Duration = Duration::from_secs(600);

/// A host of its own, so to say: a directory and ports.
struct Host {
    dir: PathBuf,
    api: Port,
    peer: Port,
    metrics: Port,
    health: Port,
}

impl Host {
    fn new(scratch: &Scratch, name: &str) -> Self {
        let dir = scratch.join(name);
        std::fs::create_dir_all(dir.join("etc")).expect("a directory");
        let [api, peer, metrics, health] = [(); 4].map(|()| Port::reserve().expect("a free port"));
        Self { dir, api, peer, metrics, health }
    }

    /// `name` of the shipped files with each of `changes` made, which must be there to be made.
    fn configure(&self, name: &str, changes: &[(&str, String)]) -> PathBuf {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(DEPLOY).join("conf").join(name);
        let mut text = std::fs::read_to_string(shipped).expect("a shipped file");
        for (shipped, here) in changes {
            assert!(text.contains(shipped), "{name} has no {shipped}");
            text = text.replace(shipped, here);
        }
        let path = self.dir.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// What every server's file names that can be there once only.
    fn server_changes(&self) -> Vec<(&'static str, String)> {
        vec![
            ("/var/lib/steeple/server", self.dir.join("data").display().to_string()),
            ("\"0.0.0.0\"", "\"127.0.0.1\"".to_owned()),
            (" bind_port = 8081", format!(" bind_port = {}", self.api.number())),
            ("peer_bind_port = 8082", format!("peer_bind_port = {}", self.peer.number())),
            ("port = 9988", format!("port = {}", self.metrics.number())),
            ("bind_port = \"8080\"", format!("bind_port = \"{}\"", self.health.number())),
        ]
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("api.sock")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn admin(&self) -> Admin {
        Admin::at(&self.socket())
    }

    fn sealing_key(&self) -> PathBuf {
        self.dir.join("etc/server.key")
    }

    /// Runs `program` under `config`; the socket's path is the one thing that is not in the files.
    fn run(&self, program: &Path, config: &Path, flags: &[&str], env: &[(&str, &str)]) -> Process {
        let mut command = Command::new(program);
        command.arg("run").arg("-config").arg(config).arg("-socketPath").arg(self.socket());
        command.args(flags).envs(env.iter().copied()).current_dir(&self.dir);
        Process::start("program", command, &self.log()).expect("it starts")
    }
}

async fn is_ready(host: &Host, process: &Process) {
    let ready = until("the server is ready", EVENT_MAX, async || host.admin().info().await).await;
    ready.map_err(|error| process.failure(&format!("{error:#}"))).expect("it becomes ready");
}

/// A server that stands alone, under the shipped file.
async fn single_server(binaries: &Binaries, scratch: &Scratch) -> (Host, Process) {
    let host = Host::new(scratch, "server");
    let mut changes = host.server_changes();
    changes.push(("/etc/steeple", host.dir.join("etc").display().to_string()));
    changes.push(("server-1.example.org", "127.0.0.1".to_owned()));
    let config = host.configure("server.conf", &changes);
    let server = host.run(&binaries.server, &config, &[], &[]);
    is_ready(&host, &server).await;
    (host, server)
}

/// An agent under the shipped file attests at `server`, and a workload gets its SVID. The agent ends with the process.
async fn serve_a_workload(binaries: &Binaries, scratch: &Scratch, server: &Host) -> (Host, Process) {
    let admin = server.admin();
    let host = Host::new(scratch, "agent");
    let roots = admin.bundle().await.expect("a bundle").x509_authorities;
    let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
    std::fs::write(host.dir.join("etc/bundle.pem"), pem::encode_many(&blocks)).expect("a file");
    let config = host.configure(
        "agent.conf",
        &[
            ("/var/lib/steeple/agent", host.dir.join("data").display().to_string()),
            ("/etc/steeple", host.dir.join("etc").display().to_string()),
            ("server-1.example.org", "127.0.0.1".to_owned()),
            ("server_port = 8081", format!("server_port = {}", server.api.number())),
            ("bind_port = \"8090\"", format!("bind_port = \"{}\"", host.health.number())),
            ("port = 9989", format!("port = {}", host.metrics.number())),
        ],
    );
    let token = admin.create_join_token(TOKEN_TTL).await.expect("a token");
    let agent = host.run(&binaries.agent, &config, &["-joinToken", &token], &[]);
    let parent = until("the agent attests", EVENT_MAX, async || {
        let ids = admin.agent_ids("join_token").await.map_err(|status| status.to_string())?;
        ids.into_iter().next().ok_or_else(|| "nobody yet".to_owned())
    });
    let parent = parent.await.map_err(|error| agent.failure(&format!("{error:#}"))).expect("an agent");
    admin.create_entry(workload_entry("", &parent, "/w", vec![own_uid_selector()])).await.expect("an entry");
    let served = until("an SVID", EVENT_MAX, async || {
        let mut stream = WorkloadStream::open(&host.socket()).await?;
        stream.wait_for("spiffe://example.org/w", EVENT_MAX).await
    });
    served.await.map_err(|error| agent.failure(&format!("{error:#}"))).expect("an SVID");
    (host, agent)
}

#[tokio::test]
async fn the_shipped_server_and_agent_serve_a_workload() {
    let (scratch, binaries) = (Scratch::new().expect("a directory"), Binaries::find().expect("the programs"));
    let (host, _server) = single_server(&binaries, &scratch).await;
    serve_a_workload(&binaries, &scratch, &host).await;

    let log = std::fs::read_to_string(host.log()).expect("a log");
    for (line, is_x509) in [("X509 CA prepared", true), ("X509 CA activated", true), ("JWT key prepared", false)] {
        let line = log.lines().find(|said| said.contains(line)).expect("SPIRE's line");
        for field in ["subsystem_name=ca_manager", "slot=current", "issued_at=", "expiration=", "local_authority_id="] {
            assert!(line.contains(field), "no {field} in {line}");
        }
        assert_eq!(line.contains("self_signed=true"), is_x509 && line.contains("prepared"), "{line}");
    }
}

#[tokio::test]
async fn the_shipped_replicas_form_one_cluster() {
    let (scratch, binaries) = (Scratch::new().expect("a directory"), Binaries::find().expect("the programs"));
    let names = ["server-1", "server-2", "server-3"];
    let hosts = names.map(|name| Host::new(&scratch, name));
    let mut processes = Vec::new();
    for (name, host) in names.iter().zip(&hosts) {
        let mut changes = host.server_changes();
        changes.push(("/var/lib/steeple/sealing", host.dir.join("etc").display().to_string()));
        changes.push(("\"${REPLICA}.example.org:8082\"", format!("\"{}\"", host.peer.address())));
        changes.push(("\"${REPLICA}.example.org:8081\"", format!("\"{}\"", host.api.address())));
        let others = ["server-1.example.org:8082", "server-2.example.org:8082", "server-3.example.org:8082"];
        changes.extend(others.into_iter().zip(&hosts).map(|(shipped, host)| (shipped, host.peer.address())));
        let config = host.configure("replica.conf", &changes);
        let founder = &hosts[0];
        let founds = host.dir == founder.dir;
        if !founds {
            std::fs::copy(founder.sealing_key(), host.sealing_key()).expect("the operator copies the key");
        }
        let env = [("REPLICA", *name), ("FOUNDER", if founds { "true" } else { "false" })];
        let process = host.run(&binaries.server, &config, &["-expandEnv"], &env);
        is_ready(host, &process).await;
        processes.push(process);
    }
    let joined = until("three voters", EVENT_MAX, async || {
        let members = hosts[0].admin().status().await.map_err(|status| status.to_string())?.members;
        let mut voters: Vec<String> =
            members.iter().filter(|member| member.voter).map(|member| member.name.clone()).collect();
        voters.sort();
        if voters == names { Ok(()) } else { Err(format!("{voters:?}")) }
    });
    joined.await.expect("one cluster");
    serve_a_workload(&binaries, &scratch, &hosts[2]).await;
}
