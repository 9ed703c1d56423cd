//! Agents that must not start, or not attest.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use steeple_testkit::{NodeCertificateAuthority, Scratch, until};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::site::{EVENT_MAX, World};

/// A refusal is a matter of milliseconds; a command that hangs is a finding.
const REFUSAL_MAX: Duration = Duration::from_secs(60);

/// A configuration of an agent whose server does not exist, `lines` added to its `agent` section.
fn config(scratch: &Scratch, lines: &str) -> PathBuf {
    let dir = scratch.path().display();
    let text = format!(
        "agent {{\n trust_domain = \"example.org\"\n server_address = \"127.0.0.1\"\n server_port = 1\n \
         data_dir = \"{dir}/data\"\n insecure_bootstrap = true\n{lines}\n}}\n\
         plugins {{\n NodeAttestor \"join_token\" {{ plugin_data {{}} }}\n \
         KeyManager \"disk\" {{ plugin_data {{ directory = \"{dir}/data\" }} }}\n \
         WorkloadAttestor \"unix\" {{ plugin_data {{}} }}\n}}\n"
    );
    let path = scratch.join("agent.conf");
    std::fs::write(&path, text).expect("a configuration file");
    path
}

fn socket_line(path: &Path) -> String {
    format!(" socket_path = \"{}\"", path.display())
}

/// Runs the agent, which must refuse, and returns what it says.
async fn refused(config: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steeple-agent"));
    command.arg("run").arg("-config").arg(config).args(["-joinToken", "unused"]).kill_on_drop(true);
    let ended = tokio::time::timeout(REFUSAL_MAX, command.output()).await.expect("it ends by itself");
    let output = ended.expect("the program runs");
    let text = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Runs the agent until it has said all of `parts` in one line.
async fn says_while_it_runs(config: &Path, parts: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steeple-agent"));
    command.arg("run").arg("-config").arg(config).args(["-joinToken", "unused"]).kill_on_drop(true);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let said = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if parts.iter().all(|part| line.contains(part)) {
                return;
            }
        }
        panic!("it ended without saying {parts:?}");
    };
    tokio::time::timeout(REFUSAL_MAX, said).await.expect("it says so at the first attempt");
    child.kill().await.expect("it is there");
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[tokio::test]
async fn an_agents_config_with_a_typo_is_refused_by_line_and_suggestion() {
    let scratch = Scratch::new().expect("a directory");
    let text = refused(&config(&scratch, " scoket_path = \"/x\"")).await;
    let hint = "agent: \"scoket_path\" at 7:2 (did you mean \"socket_path\"?)";
    assert_says(&text, &["unknown configuration detected", hint]);
    assert!(!scratch.join("data").exists(), "nothing is made");
}

#[tokio::test]
async fn a_workload_socket_that_cannot_be_bound_is_told_before_attestation() {
    let scratch = Scratch::new().expect("a directory");
    let taken = scratch.join("taken.sock");
    let _listener = UnixListener::bind(&taken).expect("a socket");
    let text = refused(&config(&scratch, &socket_line(&taken))).await;
    assert_says(&text, &[&taken.display().to_string(), "in use: stop the process that serves on it"]);

    let file = scratch.join("precious");
    std::fs::write(&file, "content").expect("a file");
    let text = refused(&config(&scratch, &socket_line(&file))).await;
    assert_says(&text, &["exists and is not a socket: move it away"]);
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "content");

    let text = refused(&config(&scratch, &socket_line(&scratch.join("x".repeat(120))))).await;
    assert_says(&text, &["is too long: a socket path has at most 107 bytes"]);

    let text = refused(&config(&scratch, &socket_line(Path::new("/proc/steeple/api.sock")))).await;
    assert_says(&text, &["cannot make the directory of /proc/steeple/api.sock", "configure another path"]);
    let text = refused(&config(&scratch, &socket_line(Path::new("/proc/api.sock")))).await;
    assert_says(&text, &["cannot bind /proc/api.sock", "configure another path"]);
    let admin = format!("admin_socket_path = \"/proc/admin.sock\" {}", socket_line(&scratch.join("api.sock")));
    assert_says(&refused(&config(&scratch, &admin)).await, &["/proc/admin.sock", "configure another path"]);
    assert!(!scratch.join("api.sock").exists(), "nobody waits at a socket that nobody serves");
}

#[tokio::test]
async fn an_agents_health_port_in_use_is_named() {
    let scratch = Scratch::new().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let config = config(&scratch, &socket_line(&scratch.join("api.sock")));
    let text = std::fs::read_to_string(&config).expect("a file");
    let health = format!(
        "health_checks {{ listener_enabled = true bind_address = \"127.0.0.1\" bind_port = \"{}\" }}\n",
        address.port()
    );
    std::fs::write(&config, text + &health).expect("a file");
    assert_says(&refused(&config).await, &[&address.to_string(), "set health_checks.bind_port"]);
}

#[tokio::test]
async fn a_trust_bundle_without_certificates_is_named() {
    let scratch = Scratch::new().expect("a directory");
    let bundle = scratch.join("bundle.pem");
    let config = config(&scratch, &socket_line(&scratch.join("api.sock")));
    let text = std::fs::read_to_string(&config).expect("a file");
    let with_bundle = format!("trust_bundle_path = \"{}\"", bundle.display());
    std::fs::write(&config, text.replace("insecure_bootstrap = true", &with_bundle)).expect("a file");
    let name = bundle.display().to_string();
    // The file may be late, so the agent says what is wrong and tries again.
    says_while_it_runs(&config, &["Node attestation failed", "could not parse trust bundle", &name, "No such file"])
        .await;
    std::fs::write(&bundle, "no PEM at all").expect("a file");
    says_while_it_runs(&config, &["no certificates found in trust bundle", &name]).await;
    std::fs::write(&bundle, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").expect("a file");
    says_while_it_runs(&config, &["could not parse trust bundle", &name]).await;
}

#[tokio::test]
async fn keys_that_an_agent_cannot_honour_are_refused_by_name() {
    let scratch = Scratch::new().expect("a directory");
    let broker = config(&scratch, "experimental { broker {} }");
    let said = refused(&broker).await;
    assert_says(&said, &["experimental.broker requires socket_path, bind_address, or both"]);
    let path = config(&scratch, &socket_line(&scratch.join("api.sock")));
    let text = std::fs::read_to_string(&path).expect("a file");
    let sinks = [
        ("M3 = [{ address = \"127.0.0.1:1\" }]", "env common tag is required"),
        ("Prometheus { port = 1 tls { cert_file = \"x\" } }", "cert_file and key_file must both be configured unless"),
    ];
    for (sink, part) in sinks {
        std::fs::write(&path, format!("{text}telemetry {{ {sink} }}\n")).expect("a file");
        assert_says(&refused(&path).await, &[part]);
    }
    let typo = text.replace("\"unix\" { plugin_data {", "\"unix\" { plugin_data { discover_workload_paht = true");
    std::fs::write(&path, typo).expect("a file");
    let hint = "(did you mean \"discover_workload_path\"?)";
    assert_says(&refused(&path).await, &["unknown plugin_data of WorkloadAttestor \"unix\"", hint]);
    let node = "\"x509pop\" { plugin_data { spiffe_endpoint_socket = \"unix:///x\" } }";
    let text = text.replace("\"join_token\" { plugin_data {} }", node);
    std::fs::write(&path, text).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_steeple-agent"));
    command.arg("run").arg("-config").arg(&path).kill_on_drop(true);
    let ended = tokio::time::timeout(REFUSAL_MAX, command.output()).await.expect("it ends by itself");
    let text = String::from_utf8_lossy(&ended.expect("the program runs").stderr).into_owned();
    assert_says(&text, &["x509pop: spiffe_endpoint_socket is not supported"]);
}

#[tokio::test]
async fn damaged_files_of_an_agent_are_named_and_kept() {
    let scratch = Scratch::new().expect("a directory");
    let config = config(&scratch, &socket_line(&scratch.join("api.sock")));
    std::fs::create_dir(scratch.join("data")).expect("a directory");
    for (name, content) in [("agent-data.json", "{\"svid\": ["), ("keys.json", "{\"keys\": {\"a\": \"!\"}}")] {
        let path = scratch.join("data").join(name);
        std::fs::write(&path, content).expect("a file");
        let text = refused(&config).await;
        assert_says(&text, &[&path.display().to_string(), "remove", "the agent attests anew"]);
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), content);
        std::fs::remove_file(&path).expect("it is there");
    }
}

#[tokio::test]
async fn a_wrong_trust_bundle_spends_no_join_token() {
    let world = World::new().await;
    let token = world.token().await;
    let stranger = NodeCertificateAuthority::new(world.scratch.path()).expect("another root");
    let astray = world.agent("astray", &token, stranger.root_path());
    let said = until("the refusal", EVENT_MAX, async || {
        let text = astray.process().tail();
        let reason = "x509: certificate signed by unknown authority (trust domain example.org)";
        let refused = text.contains("Node attestation failed") && text.contains(reason);
        if refused { Ok(()) } else { Err(text) }
    });
    said.await.expect("the agent says what is wrong");
    drop(astray);
    assert!(!world.scratch.join("astray/data/agent-data.json").exists(), "nothing of that server is kept");
    assert!(world.server.admin().agent_ids("join_token").await.expect("a list").is_empty());

    let mut agent = world.agent("agent", &token, &world.bundle);
    agent.ready().await.expect("the same token with the right bundle");
    agent.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_spent_join_token_ends_the_agent() {
    let world = World::new().await;
    let token = world.token().await;
    let mut first = world.agent("first", &token, &world.bundle);
    first.ready().await.expect("the agent attests");
    let error = world.agent("second", &token, &world.bundle).ready().await.expect_err("a spent token");
    assert_says(
        &format!("{error:#}"),
        &["ended (exit status: 1)", "join token does not exist or has already been used"],
    );
    assert_eq!(world.server.admin().agent_ids("join_token").await.expect("a list").len(), 1);
    first.stop().await.expect("the other one is unharmed");
}
