//! Secrets that are known to the test are searched in everything that a server writes: 0 found.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use prost::Message as _;
use steeple_api::steeple::peer::PeerCa;
use steeple_ca::seal::{Keyring, RecordType, SealingKey};
use steeple_config::SealSettings;
use steeple_core::plugin::SecretSource;
use steeple_core::{AuthorityKind, Clock, SealedKey, SystemClock};
use steeple_server_raft::backup;
use steeple_server_raft::raft::open_keyring;
use steeple_server_raft::seal::Custody;
use steeple_state::State;
use steeple_testkit::{Canary, ClusterRole, ExtraLines, Server, ServerSpec, probe, until};
use tokio::process::Command;

use crate::agent::attested;
use crate::bench::{Bench, READY_AGAIN_MAX, create, private, program, relaunch, spec};

const PASSPHRASE: &str = "canary correct horse battery staple";
const TOKEN_TTL: Duration = Duration::from_secs(600);

/// Runs a command against `server`; it must succeed. Returns what it says.
pub async fn run(server: &Server, args: &[&str]) -> String {
    let mut command = Command::new(program());
    command.args(args).arg("-socketPath").arg(server.admin_socket());
    let output = command.output().await.expect("the program runs");
    let text = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success(), "{text}");
    text
}

#[tokio::test]
async fn no_secret_is_in_logs_metrics_tables_snapshots_and_backups() {
    let bench = Bench::new();
    let (passphrase, key) = (bench.scratch.join("passphrase"), bench.scratch.join("sealing.key"));
    private(&passphrase, PASSPHRASE);
    let metrics = bench.port();
    let spec = ServerSpec {
        cluster: Some(ClusterRole { join: Vec::new(), sealing_key_path: key.clone() }),
        log_level: "debug".to_owned(),
        ..spec("canary")
    };
    let extra = ExtraLines {
        server: format!(
            "audit_log_enabled = true\n audit {{ file = \"audit.log\" fail_closed = true }}\n \
             cluster {{ snapshot_entries = 100 seal \"passphrase\" {{ passphrase_path = \
             \"{}\" }} }}",
            passphrase.display()
        ),
        top: format!("telemetry {{ Prometheus {{ host = \"127.0.0.1\" port = {metrics} }} }}\n"),
        ..ExtraLines::default()
    };
    let mut server = bench.launch_with(&spec, &extra);
    server.ready().await.expect("it becomes ready");

    let unused = server.admin().create_join_token(TOKEN_TTL).await.expect("a token");
    let used = server.admin().create_join_token(TOKEN_TTL).await.expect("a token");
    let generated = run(&server, &["token", "generate", "-spiffeID", "spiffe://example.org/my-node"]).await;
    let aliased = generated.lines().find_map(|line| line.strip_prefix("Token: ")).expect("a token");
    attested(&server, &used).await;
    let id = ["-spiffeID", "spiffe://example.org/canary"];
    let jwt = run(&server, &[&["jwt", "mint", "-audience", "test"], &id[..]].concat()).await;
    run(&server, &[&["x509", "mint"], &id[..]].concat()).await;
    // Enough of them for a snapshot.
    for number in 0..120 {
        create(&server, &format!("entry-{number:03}")).await;
    }
    let (before, after) = (bench.scratch.join("before.backup"), bench.scratch.join("after.backup"));
    run(&server, &["backup", "create", "-path", &before.display().to_string()]).await;
    run(&server, &["seal", "rotate"]).await;
    run(&server, &["backup", "create", "-path", &after.display().to_string()]).await;
    let (status, scraped) = probe(metrics, "/metrics").await.expect("metrics");
    assert_eq!(status, 200);
    std::fs::write(bench.scratch.join("metrics"), scraped).expect("a file");
    until("a snapshot is taken", READY_AGAIN_MAX, async || match has_snapshot(&server) {
        true => Ok(()),
        false => Err("none yet"),
    })
    .await
    .expect("a snapshot");
    server.stop().await.expect("it stops");
    // A start writes what the write-ahead log holds into tables.
    relaunch(&mut server).await;
    server.stop().await.expect("it stops");

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = SealSettings::Passphrase(SecretSource::File(passphrase.clone()));
    let sealing_key = Custody::at(&key, &settings, &clock).open().await.expect("the key");
    let mut nowhere = vec![
        Canary::new("sealing key", sealing_key.secret().expose()),
        Canary::new("join token", unused.as_bytes()),
        Canary::new("JWT-SVID", jwt.lines().find(|line| line.len() > 100).expect("a token").trim().as_bytes()),
    ];
    for path in [&before, &after] {
        let opened = backup::open(BufReader::new(File::open(path).expect("a backup")), &sealing_key);
        nowhere.extend(keys_in(&opened.expect("it opens").state, &sealing_key));
    }
    // Before and after: a root key, a data key (the old one and the new one, at least), X.509, JWT and the peers' CA.
    assert!(nowhere.len() >= 13, "{}", nowhere.len());
    let scratch = bench.scratch.path();
    for canary in &nowhere {
        assert_eq!(canary.found_below(scratch), Vec::<PathBuf>::new(), "{}", canary.name());
    }
    assert_eq!(Canary::new("passphrase", PASSPHRASE.as_bytes()).found_below(scratch), [passphrase]);
    // What SPIRE's clients ask for has the token in it: with an alias, the parent of an entry; and the ID of the agent
    // that used it, from then on.
    let found = Canary::new("join token with an alias", aliased.as_bytes()).found_below(scratch);
    assert!(!found.is_empty() && found.iter().all(|path| path.starts_with(server.data_dir())), "{found:?}");
    let found = Canary::new("used join token", used.as_bytes()).found_below(scratch);
    assert!(found.iter().any(|path| path.starts_with(server.data_dir())), "{found:?}");

    // It was looked for where it could be: everything is there, and what is planted is found.
    assert!(std::fs::metadata(server.log()).expect("a log").len() > 10_000);
    assert!(has_snapshot(&server) && has_file(&server, "sst") && has_file(&server, "log"));
    let planted = bench.scratch.join("canary/data/planted");
    let pkcs8 = pem::encode(&pem::Pem::new("PRIVATE KEY", [b"0..".as_slice(), sealing_key.secret().expose()].concat()));
    std::fs::write(&planted, pkcs8).expect("a file");
    assert_eq!(nowhere[0].found_below(scratch), [planted]);
}

fn has_snapshot(server: &Server) -> bool {
    std::fs::read_dir(server.data_dir().join("snapshots")).is_ok_and(|files| files.count() > 0)
}

/// Among those of RocksDB.
fn has_file(server: &Server, extension: &str) -> bool {
    let mut files = std::fs::read_dir(server.data_dir().join("db")).expect("a directory");
    files.any(|file| file.expect("a file").path().extension().is_some_and(|found| found == extension))
}

/// Every private key in the state, and the keys that seal them.
pub fn keys_in(state: &State, sealing_key: &SealingKey) -> Vec<Canary> {
    let keyring = open_keyring(state, sealing_key).expect("the key opens it").expect("a keyring");
    let mut found = seals_in(state, sealing_key);
    for kind in [AuthorityKind::X509, AuthorityKind::Jwt] {
        let set = state.authorities(kind);
        for authority in [&set.active, &set.next].into_iter().flatten() {
            found.push(scalar(kind.name(), &keyring, kind.into(), &authority.id, &authority.key));
        }
    }
    let peer_ca = PeerCa::decode(&*state.peer_ca().expect("a peer CA").content).expect("a document");
    for authority in peer_ca.authorities {
        let key = SealedKey { keyring_term: authority.keyring_term, ciphertext: authority.sealed_key };
        found.push(scalar("peer CA", &keyring, RecordType::PeerCaKey, &authority.id, &key));
    }
    found
}

/// A P-256 key's number, which is what no form of it can do without.
fn scalar(name: &str, keyring: &Keyring, record: RecordType, id: &str, sealed: &SealedKey) -> Canary {
    let pkcs8 = keyring.open(record, id, sealed).expect("it opens");
    let pkcs8 = pkcs8.expose();
    // RFC 5915: the version, then the number as an octet string of 32 bytes.
    let at = pkcs8.windows(5).position(|part| part == [2, 1, 1, 4, 32]).expect("a P-256 key") + 5;
    Canary::new(name, &pkcs8[at..at + 32])
}

/// The root key and the data keys, as the format says: the product opens them for nobody.
fn seals_in(state: &State, sealing_key: &SealingKey) -> Vec<Canary> {
    let cluster = state.cluster().expect("a cluster").uuid;
    let mut wrapping = [0; 32];
    let extracted = Salt::new(HKDF_SHA256, b"steeple sealing key v1").extract(sealing_key.secret().expose());
    let info = [b"wrap root key".as_slice()];
    extracted.expand(&info, HKDF_SHA256).expect("a key").fill(&mut wrapping).expect("a key");
    let mut rest = &state.keyring().expect("a keyring").content[1..];
    let _sealing_key_id = field(&mut rest);
    let root = unwrapped(&wrapping, &cluster, 1, 0, field(&mut rest));
    let mut found = vec![Canary::new("root key", &root)];
    while let Some((term, behind)) = rest.split_first_chunk() {
        rest = behind;
        let data_key = unwrapped(&root, &cluster, 2, u64::from_be_bytes(*term), field(&mut rest));
        found.push(Canary::new("data key", &data_key));
    }
    found
}

fn field<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (length, behind) = rest.split_first_chunk().expect("a length");
    let (field, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)));
    *rest = behind;
    field
}

/// An envelope: version, nonce, ciphertext and tag.
fn unwrapped(key: &[u8], cluster: &[u8; 16], record: u8, term: u64, envelope: &[u8]) -> Vec<u8> {
    let associated = [b"steeple seal\x01".as_slice(), cluster, &[record], &term.to_be_bytes()].concat();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("a key"));
    let (nonce, ciphertext) = envelope[1..].split_at(12);
    let mut in_out = ciphertext.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).expect("a nonce");
    key.open_in_place(nonce, Aad::from(associated), &mut in_out).expect("it opens").to_vec()
}
