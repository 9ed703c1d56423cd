//! Backups in a real S3 server, by the programs as an operator runs them.

use std::path::PathBuf;
use std::time::Duration;

use steeple_testkit::{ExtraLines, Port, S3Server, Server, until};
use tokio::process::Command;

use crate::site::{Said, Site, binaries, create, entries, program, said, spec, text};

const SECRET: &str = "canary-s3-secret";
/// The first one is due at once; this is for a busy machine.
const TAKEN_MAX: Duration = Duration::from_secs(60);

/// Runs one command of the server with the store in its environment.
async fn run(store: &S3Server, secret: &str, args: &[&str]) -> Said {
    let mut command = Command::new(program());
    command.env("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", secret);
    command.env("AWS_ENDPOINT_URL_S3", store.endpoint()).env("AWS_REGION", S3Server::REGION);
    if let Some(roots) = store.roots() {
        command.env("SSL_CERT_FILE", roots);
    }
    command.env_remove("AWS_SESSION_TOKEN").args(args);
    let said = said(command).await;
    assert!(!said.text.contains(secret), "{}", said.text);
    said
}

#[tokio::test]
async fn backups_lie_in_a_bucket() {
    let Some(gateway) = S3Server::program() else { return };
    let site = Site::new();
    let store = S3Server::start(gateway, site.scratch.path(), SECRET, true).await.expect("a store");
    let mut cluster = site.cluster(1).await;
    let server = &mut cluster.servers[0];
    for number in 0..5 {
        create(server, &format!("entry-{number}")).await;
    }
    let (socket, config) = (server.admin_socket().display().to_string(), site.config(server));
    let (dir, url) = ("s3://backups/prod", "s3://backups/prod/one.backup");
    let take = ["backup", "create", "-socketPath", &socket, "-path", url, "-output", "json"];
    let taken = run(&store, SECRET, &take).await;
    assert!(taken.ok && taken.json["path"] == url, "{}", taken.text);

    let again = run(&store, SECRET, &take).await;
    assert!(!again.ok && again.text.contains("already exists"), "{}", again.text);
    let wrong = run(&store, "canary-wrong", &["backup", "list", "-dir", dir]).await;
    assert!(!wrong.ok && wrong.text.contains("check access key id and secret access key"), "{}", wrong.text);

    let stored = std::fs::read(store.object("prod/one.backup")).expect("an object");
    std::fs::write(store.object("prod/cut.backup"), &stored[..stored.len() / 2]).expect("half an object");
    std::fs::write(store.object("prod/foreign.backup"), "hello").expect("an object of somebody else");
    std::fs::write(store.object("prod/readme"), "hello").expect("an object of somebody else");
    let listed = run(&store, SECRET, &["backup", "list", "-dir", dir, "-output", "json"]).await;
    assert_eq!(listed.json["backups"].as_array().map(Vec::len), Some(1), "{}", listed.text);
    assert_eq!(listed.json["unreadable"].as_array().map(Vec::len), Some(2), "{}", listed.text);
    for words in ["cut.backup: the backup is cut short", "foreign.backup: this is no backup"] {
        assert!(listed.text.contains(words), "{words}: {}", listed.text);
    }
    let inspected = run(&store, SECRET, &["backup", "inspect", "-path", url, "-output", "json"]).await;
    assert_eq!(inspected.json["sha256"], taken.json["sha256"], "{}", inspected.text);
    let verified = run(&store, SECRET, &["backup", "verify", "-path", url, "-config", &config]).await;
    assert!(verified.ok, "{}", verified.text);

    server.stop().await.expect("it stops");
    std::fs::remove_dir_all(server.data_dir()).expect("a directory");
    let cut = run(&store, SECRET, &["restore", "-path", "s3://backups/prod/cut.backup", "-config", &config]).await;
    assert!(!cut.ok && cut.text.contains("cut short"), "{}", cut.text);
    let restored = run(&store, SECRET, &["restore", "-path", url, "-config", &config]).await;
    assert!(restored.ok && restored.text.contains(&format!("Restored {url}")), "{}", restored.text);
    server.launch().expect("it starts");
    server.ready().await.expect("it is ready");
    assert_eq!(entries(server).await.len(), 5);
}

#[tokio::test]
async fn the_leader_takes_backups_to_a_bucket_and_keeps_the_latest() {
    let Some(gateway) = S3Server::program() else { return };
    let site = Site::new();
    let store = S3Server::start(gateway, site.scratch.path(), SECRET, false).await.expect("a store");
    let old = |year: u32| store.object(&format!("prod/steeple-example.org-{year}0101T000000Z.backup"));
    let foreign: Vec<PathBuf> = ["prod/by-hand.backup", "prod/deeper/steeple-example.org-20200101T000000Z.backup"]
        .map(|key| store.object(key))
        .into();
    std::fs::create_dir_all(store.object("prod/deeper")).expect("a folder");
    for path in [old(2020), old(2021), old(2022)].iter().chain(&foreign) {
        std::fs::write(path, "not complete").expect("an object");
    }
    let secret_path = site.scratch.join("s3.key");
    steeple_files::write_private_file(&secret_path, format!("{SECRET}\n").as_bytes()).expect("a file");
    let peer = Port::reserve().expect("a free port").number();
    let top = format!(
        "cluster {{ peer_bind_address = \"127.0.0.1\" peer_bind_port = {peer} bootstrap = true \
         sealing_key_path = \"{}\" backup {{ dir = \"s3://backups/prod\" keep = 2 s3 {{ endpoint = \"{}\" \
         region = \"{}\" access_key_id = \"{}\" secret_access_key_path = \"{}\" }} }} }}",
        site.sealing_key().display(),
        store.endpoint(),
        S3Server::REGION,
        S3Server::ACCESS_KEY_ID,
        secret_path.display(),
    );
    let metrics = Port::reserve().expect("a free port").number();
    let telemetry = format!("telemetry {{ Prometheus {{ host = \"127.0.0.1\" port = {metrics} }} }}");
    let extra = ExtraLines { top: format!("{top}\n{telemetry}"), ..ExtraLines::default() };
    let mut server = Server::start_with(&binaries(), site.scratch.path(), &spec("alone"), &extra).expect("it starts");
    server.ready().await.expect("it is ready");

    let config = site.config(&server);
    let list = ["backup", "list", "-dir", "s3://backups/prod", "-config", &config, "-output", "json"];
    until("a backup is taken and the oldest are gone", TAKEN_MAX, async || {
        let gone = !old(2020).exists() && !old(2021).exists();
        if gone { Ok(()) } else { Err("they are there") }
    })
    .await
    .map_err(|error| server.failure(&format!("{error:#}")))
    .expect("taken");
    assert!(old(2022).exists() && foreign.iter().all(|path| path.exists()), "what it did not name is left alone");
    let listed = crate::site::run(&list).await;
    assert_eq!(listed.json["backups"].as_array().map(Vec::len), Some(1), "{}", listed.text);
    let path = listed.json["backups"][0]["path"].as_str().expect("a URL").to_owned();
    let verified = crate::site::run(&["backup", "verify", "-path", &path, "-config", &config]).await;
    assert!(verified.ok, "{}", verified.text);

    let bundle = site.scratch.join("bundle.tar.gz");
    let socket = server.admin_socket().display().to_string();
    let args = ["debug", "bundle", "-socketPath", &socket, "-config", &config, "-path", text(&bundle)];
    let packed = crate::site::run(&args).await;
    assert!(packed.ok, "{}", packed.text);
    let unpacked = Command::new("tar").arg("-xzOf").arg(&bundle).output().await.expect("tar runs");
    let log = std::fs::read(server.log()).expect("a log");
    for (name, content) in [("archive", unpacked.stdout), ("log", log)] {
        let content = String::from_utf8_lossy(&content);
        assert!(content.contains("example.org") && !content.contains(SECRET), "the {name} shows the secret: {content}");
    }
}
