//! Every byte between replicas is recorded, and known secrets are searched in it: 0 found.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use steeple_api::server::localauthority::PrepareX509AuthorityRequest;
use steeple_ca::seal::SealingKey;
use steeple_config::SealSettings;
use steeple_core::{Clock, SystemClock};
use steeple_server_raft::backup;
use steeple_server_raft::seal::Custody;
use steeple_testkit::{Canary, ClusterRole, ExtraLines, Recorder, Server, ServerSpec, until};

use crate::bench::{Bench, create, relaunch, spec};
use crate::canary::{keys_in, run};
use crate::join::until_members;

const EVENT_MAX: Duration = Duration::from_secs(60);
const NAMES: [&str; 3] = ["server-1", "server-2", "server-3"];
const SNAPSHOT_ENTRIES: u64 = 100;
/// Entries written while one replica is away. As many as between two snapshots are kept in the log, as many are purged
/// at a time, and a snapshot may be late: with five times as many, what it lacks is gone for certain.
const MISSED_ENTRIES: u64 = 5 * SNAPSHOT_ENTRIES;

#[tokio::test]
async fn no_secret_is_in_what_replicas_send_each_other() {
    let bench = Bench::new();
    let capture = bench.scratch.join("capture");
    let (mut servers, mut recorders) = (Vec::new(), Vec::<Recorder>::new());
    for name in NAMES {
        let recorder = Recorder::start(&capture.join(name)).await.expect("a port");
        if !servers.is_empty() {
            // With its mode.
            std::fs::copy(key_of(&bench, NAMES[0]), key_of(&bench, name)).expect("the key");
        }
        let mut server = launch(&bench, name, recorders.iter().map(Recorder::address).collect(), &recorder);
        server.ready().await.expect("it becomes ready");
        servers.push(server);
        recorders.push(recorder);
        until_members(&servers[0], servers.len()).await;
    }
    let token = servers[1].admin().create_join_token(Duration::from_secs(600)).await.expect("a token");
    let first_key = sealing_key(&key_of(&bench, NAMES[0])).await;
    let mut secrets = vec![Canary::new("sealing key", first_key.secret().expose())];
    secrets.extend(backed_up(&bench, &servers[0], &first_key).await);
    run(&servers[0], &["seal", "rotate"]).await;
    let mut authorities = servers[0].admin().local_authorities();
    authorities.prepare_x509_authority(PrepareX509AuthorityRequest {}).await.expect("an authority");
    // The third one is away for longer than the log is kept, and gets a snapshot.
    servers[2].kill9().await.expect("it ends");
    for number in 0..MISSED_ENTRIES {
        create(&servers[0], &format!("entry-{number:03}")).await;
    }
    relaunch(&mut servers[2]).await;
    until_members(&servers[0], NAMES.len()).await;
    run(&servers[0], &["seal", "new-key"]).await;
    // Each replica takes it into its file when it hears that it is in force.
    let second_key = until("the new key", EVENT_MAX, async || {
        let key = sealing_key(&key_of(&bench, NAMES[0])).await;
        if key.id().expect("an id") == first_key.id().expect("an id") { Err("the first one") } else { Ok(key) }
    });
    let second_key = second_key.await.expect("it is in the file");
    secrets.push(Canary::new("new sealing key", second_key.secret().expose()));
    secrets.extend(backed_up(&bench, &servers[0], &second_key).await);
    secrets.push(Canary::new("join token", token.as_bytes()));
    for server in &mut servers {
        server.stop().await.expect("it stops");
    }

    // Sealing keys and token; before and after: a root key, data keys, X.509, JWT and the peers' CA.
    assert!(secrets.len() >= 13, "{}", secrets.len());
    for secret in &secrets {
        assert_eq!(secret.found_below(&capture), Vec::<PathBuf>::new(), "{}", secret.name());
    }
    // It was looked for where it could be: each replica was spoken to, one got a snapshot, what is planted is found.
    let captured: Vec<u64> = recorders.iter().map(Recorder::captured_bytes).collect();
    let is_large = captured.iter().all(|bytes| *bytes > 20_000) && captured.iter().sum::<u64>() > 150_000;
    assert!(is_large, "{captured:?}");
    let log = std::fs::read_to_string(servers[2].log()).expect("a log");
    assert!(log.contains("a snapshot of the leader's state was installed"), "{log}");
    let planted = capture.join("planted");
    std::fs::write(&planted, second_key.secret().expose()).expect("a file");
    let new_key = secrets.iter().find(|secret| secret.name() == "new sealing key").expect("just made");
    assert_eq!(new_key.found_below(&capture), [planted]);
}

/// A replica that others reach only through `recorder`.
fn launch(bench: &Bench, name: &str, join: Vec<String>, recorder: &Recorder) -> Server {
    let role = ClusterRole { join, sealing_key_path: key_of(bench, name) };
    let cluster =
        format!("peer_advertise_address = \"{}\"\n snapshot_entries = {SNAPSHOT_ENTRIES}", recorder.address());
    let extra = ExtraLines { cluster, ..ExtraLines::default() };
    let server = bench.launch_with(&ServerSpec { cluster: Some(role), ..spec(name) }, &extra);
    recorder.point_to(&server.peer_address());
    server
}

fn key_of(bench: &Bench, name: &str) -> PathBuf {
    bench.scratch.join(format!("{name}.key"))
}

async fn sealing_key(path: &Path) -> SealingKey {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Custody::at(path, &SealSettings::File, &clock).open().await.expect("the key")
}

/// The keys that are in the state by now.
async fn backed_up(bench: &Bench, server: &Server, key: &SealingKey) -> Vec<Canary> {
    let path = bench.scratch.join(format!("{}.backup", key.id().expect("an id")));
    run(server, &["backup", "create", "-path", &path.display().to_string()]).await;
    let opened = backup::open(BufReader::new(File::open(path).expect("a backup")), key).expect("it opens");
    keys_in(&opened.state, key)
}
