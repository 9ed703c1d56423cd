//! Plugins that are programs of their own, on the published spire-plugin-sdk, with real servers and agents.

use std::path::{Path, PathBuf};

use steeple_api::types;
use steeple_testkit::{ExtraLines, GoPlugins};

use super::plugin_data::{has_read_again, logs};
use super::*;

/// Of the 100,000 lines of one flood.
const FLOODED_MAX: usize = 20_000;

/// A block with the program's own checksum.
fn block(plugins: &GoPlugins, kind: &str, name: &str, program: &str, lines: &str) -> String {
    let (path, sum) = (plugins.path(program), plugins.checksum(program).expect("a sum"));
    let path = path.display();
    format!("{kind} \"{name}\" {{\n plugin_cmd = \"{path}\"\n plugin_checksum = \"{sum}\"\n {lines}\n}}\n")
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

async fn write_bundle(server: &Server, path: &Path) {
    let roots = server.admin().bundle().await.expect("a bundle").x509_authorities;
    let blocks: Vec<pem::Pem> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
    std::fs::write(path, pem::encode_many(&blocks)).expect("a file");
}

/// Processes that run `program`, whoever started them.
fn running(program: &Path) -> Vec<PathBuf> {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten().map(|process| process.path());
    processes.filter(|dir| std::fs::read_link(dir.join("exe")).is_ok_and(|exe| exe == program)).collect()
}

async fn ends(program: &Path) {
    let gone = until("the plugin's end", EVENT_MAX, async || match running(program).as_slice() {
        [] => Ok(()),
        left => Err(format!("{left:?}")),
    });
    gone.await.expect("it ends");
}

fn demo(value: &str) -> types::Selector {
    types::Selector { r#type: "demo".to_owned(), value: value.to_owned() }
}

#[tokio::test]
async fn every_kind_of_external_plugin_serves_a_server_and_its_agent() {
    let Some(plugins) = GoPlugins::build() else { return };
    let (binaries, scratch) = (Binaries::find().expect("the programs"), Scratch::new().expect("a directory"));
    let [published, notified, upstream_data] =
        ["published", "notified", "upstream.conf"].map(|name| scratch.join(name));
    std::fs::write(&upstream_data, "one").expect("a file");
    let blocks = [
        block(plugins, "NodeAttestor", "word", "servernodeattestor", "plugin_data { word = \"open sesame\" }"),
        block(
            plugins,
            "UpstreamAuthority",
            "above",
            "upstreamauthority",
            &format!("plugin_data_file = {upstream_data:?}"),
        ),
        block(
            plugins,
            "BundlePublisher",
            "lines",
            "bundlepublisher",
            &format!("plugin_data {{ path = {published:?} }}"),
        ),
        block(plugins, "Notifier", "events", "notifier", &format!("plugin_args = [{notified:?}]")),
        block(plugins, "CredentialComposer", "names", "credentialcomposer", ""),
    ];
    let extra = ExtraLines { plugins: blocks.concat(), ..ExtraLines::default() };
    let mut server = Server::start_with(&binaries, scratch.path(), &server_spec(), &extra).expect("the server starts");
    server.ready().await.expect("the server becomes ready");
    let trust_bundle = scratch.join("bundle.pem");
    write_bundle(&server, &trust_bundle).await;

    let attestor_data = scratch.join("demo.conf");
    std::fs::write(&attestor_data, "selectors = [\"first\"]").expect("a file");
    let workload_attestor = block(
        plugins,
        "WorkloadAttestor",
        "demo",
        "workloadattestor",
        &format!("plugin_data_file = {attestor_data:?}"),
    );
    let node = |word: &str| {
        let data = format!("plugin_data {{ node = \"n1\" word = \"{word}\" }}");
        Attestation::Block(block(plugins, "NodeAttestor", "word", "agentnodeattestor", &data))
    };
    let spec = |name: &str, word: &str| AgentSpec {
        name: name.to_owned(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        servers: vec![server.api_address()],
        trust_bundle: trust_bundle.clone(),
        attestation: node(word),
        log_level: "DEBUG".to_owned(),
        lines: Vec::new(),
    };

    let mut stranger = Agent::start(&binaries, scratch.path(), &spec("stranger", "open up")).expect("it starts");
    let ended = tokio::time::timeout(EVENT_MAX, stranger.process_mut().exited()).await.expect("it is turned away");
    assert!(!ended.expect("a status").success());
    let log = stranger.log().expect("a log");
    assert!(log.contains("nodeattestor(word): node \\\"n1\\\" does not know the word"), "{log}");

    let attestors = [workload_attestor];
    let mut agent =
        Agent::start_with(&binaries, scratch.path(), &spec("agent", "open sesame"), &attestors).expect("it starts");
    agent.ready().await.expect("the agent attests");
    let [id] = <[types::Spiffeid; 1]>::try_from(server.admin().agent_ids("word").await.expect("a list")).expect("one");
    assert_eq!(id.path, "/spire/agent/word/n1");

    // What the plugin found out with the help of the server's own services.
    let found = ["node:n1", "known:false", "server:spiffe://example.org/spire/server", "ip:127.0.0.1"];
    let selector = |value: &str| types::Selector { r#type: "word".to_owned(), value: value.to_owned() };
    let root = types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: "/spire/server".to_owned() };
    let alias = workload_entry("", &root, "/nodes", found.map(selector).to_vec());
    let parent = server.admin().create_entry(alias).await.expect("an alias").spiffe_id.expect("its ID");
    let entry = |path: &str, value: &str| workload_entry("", &parent, path, vec![demo(value)]);
    for entry in [entry("/web", "first"), entry("/other", "second"), entry("/forbidden", "third")] {
        server.admin().create_entry(entry).await.expect("an entry");
    }
    let svid = served(&agent, "/web").await;
    let (_, leaf) = x509_parser::parse_x509_certificate(&svid.x509_svid).expect("a leaf");
    assert_eq!(leaf.subject().to_string(), "C=US, O=SPIRE, CN=named /web, uniqueIdentifier=7");

    let (log, pid) = (scratch.join("agent").join("log"), agent.process().pid());
    logs(&log, "no name for that one").await;

    // New settings, then settings that cannot be used.
    std::fs::write(&attestor_data, "selectors = [\"second\"]").expect("a file");
    has_read_again(pid);
    let line = logs(&log, "msg=\"Plugin reconfigured\"").await;
    assert!(line.contains("external=true") && line.contains("plugin_name=demo"), "{line}");
    served(&agent, "/other").await;
    std::fs::write(&attestor_data, "mode = \"unusable\"").expect("a file");
    has_read_again(pid);
    let line = logs(&log, "msg=\"Failed to reconfigure plugin\"").await;
    assert!(line.contains("this mode cannot be used"), "{line}");
    served(&agent, "/other").await;
    let line = logs(&log, "msg=attesting").await;
    for field in [
        "external=true",
        "plugin_type=WorkloadAttestor",
        "subsystem_name=demo.workloadattestor",
        "trust_domain=example.org",
    ] {
        assert!(line.contains(field), "{field}: {line}");
    }

    // Lines without end on both of its outputs: it is heard, and does not fill the log.
    std::fs::write(&attestor_data, "mode = \"flood\"").expect("a file");
    has_read_again(pid);
    until("a flood", EVENT_MAX, async || {
        let _ = WorkloadStream::open(&agent.socket()).await;
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        if log.contains("flood 49999") || log.contains("were held back") { Ok(()) } else { Err("none yet") }
    })
    .await
    .expect("it comes");
    logs(&log, "lines of the plugin were held back: more than 200 a second").await;
    let told = std::fs::read_to_string(&log).expect("a log").matches("flood ").count();
    assert!((1..FLOODED_MAX).contains(&told), "{told} lines");
    std::fs::write(&attestor_data, "selectors = [\"second\"]").expect("a file");
    has_read_again(pid);
    served(&agent, "/other").await;

    // The roots above: one more, and the bundle has it everywhere.
    let before = server.admin().bundle().await.expect("a bundle").x509_authorities.len();
    std::fs::write(&upstream_data, "two").expect("a file");
    has_read_again(server.process().expect("it runs").pid());
    let more = until("another root", EVENT_MAX, async || {
        let bundle = server.admin().bundle().await.map_err(|error| error.to_string())?;
        if bundle.x509_authorities.len() == before + 1 { Ok(()) } else { Err("not yet".to_owned()) }
    });
    more.await.expect("it comes");
    for (path, line) in [
        (&published, "published example.org roots=2"),
        (&notified, "loaded example.org"),
        (&notified, "updated example.org"),
    ] {
        logs(path, line).await;
    }

    // A plugin that ends leaves the others at work.
    std::fs::write(&attestor_data, "mode = \"exit\"").expect("a file");
    has_read_again(pid);
    until("its end", EVENT_MAX, async || {
        let _ = WorkloadStream::open(&agent.socket()).await;
        if running(&plugins.path("workloadattestor")).is_empty() { Ok(()) } else { Err("it runs") }
    })
    .await
    .expect("it ends");
    let line = logs(&log, "msg=\"plugin process exited\"").await;
    assert!(line.contains("error=\"exit status 3\"") && line.contains("level=error"), "{line}");
    logs(&log, "the plugin has ended (exit status 3) and is not started again: restart this process").await;

    agent.stop().await.expect("an orderly end");
    ends(&plugins.path("agentnodeattestor")).await;
    // Not even the kernel's own end leaves one behind.
    server.kill9().await.expect("it ends");
    for program in ["servernodeattestor", "upstreamauthority", "bundlepublisher", "notifier", "credentialcomposer"] {
        ends(&plugins.path(program)).await;
    }
    scratch.remove().expect("nothing is in the way");
}

async fn served(agent: &Agent, path: &str) -> steeple_api::workload::X509svid {
    let id = format!("spiffe://{TRUST_DOMAIN}{path}");
    let update = until("an identity", EVENT_MAX, async || {
        let mut stream = WorkloadStream::open(&agent.socket()).await?;
        stream.wait_for(&id, EVENT_MAX).await
    });
    let update = update.await.expect("an SVID");
    update.svids.into_iter().find(|svid| svid.spiffe_id == id).expect("it was waited for")
}

#[tokio::test]
async fn a_server_does_not_start_with_a_plugin_that_it_cannot_trust_or_use() {
    let Some(plugins) = GoPlugins::build() else { return };
    let binaries = Binaries::find().expect("the programs");
    let program = plugins.path("servernodeattestor").display().to_string();
    let other = plugins.checksum("notifier").expect("a sum");
    for (lines, why) in [
        (format!("plugin_cmd = {program:?}\n plugin_checksum = {other:?}"), "checksums did not match"),
        (format!("plugin_cmd = {program:?}"), "word is required"),
        ("plugin_cmd = \"/bin/true\"".to_owned(), "plugin exited before we could connect (exit status 0)"),
        ("plugin_cmd = \"/no/such\"".to_owned(), "fork/exec /no/such: no such file or directory"),
    ] {
        let scratch = Scratch::new().expect("a directory");
        let plugins = format!("NodeAttestor \"word\" {{\n {lines}\n}}\n");
        let extra = ExtraLines { plugins, ..ExtraLines::default() };
        let mut server = Server::start_with(&binaries, scratch.path(), &server_spec(), &extra).expect("it starts");
        let process = server.process_mut().expect("it runs");
        let ended = tokio::time::timeout(EVENT_MAX, process.exited()).await.expect("it ends");
        assert_eq!(ended.expect("a status").code(), Some(1));
        let log = std::fs::read_to_string(server.log()).expect("a log");
        assert!(log.contains(why) && log.contains("plugin \\\"word\\\""), "{lines}: {log}");
        scratch.remove().expect("nothing is in the way");
    }
}

#[tokio::test]
async fn an_agent_whose_keys_are_a_plugins_attests_renews_and_starts_again() {
    let Some(plugins) = GoPlugins::build() else { return };
    let (binaries, scratch) = (Binaries::find().expect("the programs"), Scratch::new().expect("a directory"));
    // So short that the agent renews while it is watched.
    let extra = ExtraLines { server: "agent_ttl = \"30s\"".to_owned(), ..ExtraLines::default() };
    let mut server = Server::start_with(&binaries, scratch.path(), &server_spec(), &extra).expect("the server starts");
    server.ready().await.expect("the server becomes ready");
    let trust_bundle = scratch.join("bundle.pem");
    write_bundle(&server, &trust_bundle).await;
    // Handshakes are signed in other ways with keys of RSA.
    for (name, settings) in [("ec", ""), ("rsa", "rsa = true")] {
        let token = server.admin().create_join_token(TOKEN_TTL).await.expect("a token");
        let spec = AgentSpec {
            name: name.to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            servers: vec![server.api_address()],
            trust_bundle: trust_bundle.clone(),
            attestation: Attestation::JoinToken(token),
            log_level: "DEBUG".to_owned(),
            lines: Vec::new(),
        };
        lives_by_keys_of_a_plugin(plugins, &binaries, &scratch, &spec, settings).await;
    }
    server.stop().await.expect("an orderly end");
    scratch.remove().expect("nothing is in the way");
}

/// Attests, renews, and goes on after a restart.
async fn lives_by_keys_of_a_plugin(
    plugins: &GoPlugins,
    binaries: &Binaries,
    scratch: &Scratch,
    spec: &AgentSpec,
    settings: &str,
) {
    let keys = scratch.join(format!("{}-keys", spec.name));
    let data = format!("plugin_data {{ directory = {keys:?} {settings} }}");
    let key_manager = block(plugins, "KeyManager", "kept", "keymanager", &data);
    let started = Agent::start_with_keys(binaries, scratch.path(), spec, &[], Some(&key_manager));
    let mut agent = started.expect("it starts");
    agent.ready().await.expect("the agent attests");
    let held = |id: &str| std::fs::read(keys.join(id)).ok();
    assert!(held("agent-svid-A").is_some() && held("agent-svid-B").is_none());
    let renewed = until("another key", EVENT_MAX, async || held("agent-svid-B").ok_or("not yet"));
    renewed.await.expect("it renews");
    let log = scratch.join(&spec.name).join("log");
    logs(&log, "plugin_name=kept").await;
    // Nothing of the keys is on the agent's side.
    assert!(!agent.data_dir().join("keys.json").exists());

    // The token is spent: it goes on with the key that the plugin holds.
    agent.stop().await.expect("an orderly end");
    agent.restart(binaries).expect("it starts");
    agent.ready().await.expect("the agent comes back");
    agent.stop().await.expect("an orderly end");
    ends(&plugins.path("keymanager")).await;
}
