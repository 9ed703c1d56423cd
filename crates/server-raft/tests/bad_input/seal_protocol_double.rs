//! Real servers whose key a transit service guards, played by a double.

use std::path::PathBuf;

use steeple_api::server::entry::ListEntriesRequest;
use steeple_testkit::{DoubleAnswer, ExtraLines, TransitDouble, until};
use tokio::process::Command;

use crate::bench::{Bench, READY_AGAIN_MAX, assert_says, assert_unharmed, private, program};
use crate::seal::{PASSPHRASE, Sealed, found, passphrase_block, replica};

#[tokio::test]
async fn a_sealed_replica_says_so_serves_nothing_and_comes_back_by_itself() {
    let bench = Bench::new();
    let double = TransitDouble::start(bench.scratch.path()).await.expect("a double");
    let mut sealed = Sealed::founded(bench, &double.seal_block(), Vec::new()).await;
    let answer = r#"{"errors":["Vault is sealed"]}"#.to_owned();
    double.trouble(Some(DoubleAnswer::Status(503, answer)));
    sealed.server.launch().expect("it starts");
    sealed.is_sealed_because(&["503 Service Unavailable: Vault is sealed"]).await;
    let refused = sealed.server.admin().entries().list_entries(ListEntriesRequest::default()).await;
    assert_says(refused.expect_err("it serves no list").message(), &["the server is sealed"]);
    double.trouble(None);
    sealed.server.ready().await.expect("it is unsealed by itself");
    assert_unharmed(&sealed.server, &["kept"]).await;
    let (socket, backup) = (sealed.server.admin_socket(), sealed.bench.scratch.join("canary.backup"));
    let mut command = Command::new(program());
    command.args(["backup", "create", "-socketPath"]).arg(socket).arg("-path").arg(&backup);
    assert!(command.status().await.expect("the program runs").success() && backup.exists());
    sealed.server.stop().await.expect("it stops");

    // In log, write-ahead log, tables and backup.
    let plain = double.plaintexts();
    assert_eq!(plain.len(), 1, "one key was ever sealed");
    assert_eq!(found(&sealed.bench, &plain[0]), Vec::<PathBuf>::new());
    let token = std::fs::read(double.token_path()).expect("a token");
    assert_eq!(found(&sealed.bench, &token), [double.token_path()]);
}

#[tokio::test]
async fn a_key_moves_from_seal_to_seal_and_the_cluster_does_not_notice() {
    let bench = Bench::new();
    let double = TransitDouble::start(bench.scratch.path()).await.expect("a double");
    let path = bench.scratch.join("passphrase");
    private(&path, PASSPHRASE);
    let (passphrase, transit) = (passphrase_block(&path), double.seal_block());
    let mut sealed = Sealed::founded(bench, "seal \"file\" {}", Vec::new()).await;
    let founder_key = std::fs::read(sealed.key()).expect("a key");
    let earlier = sealed.bench.scratch.join("earlier.conf");
    let from = earlier.display().to_string();

    sealed.reconfigure("seal \"file\" {}", &passphrase);
    let (done, text) = sealed.seal(&["migrate"]).await;
    assert!(done, "{text}");
    assert_says(&text, &["was sealed by file, and is sealed by passphrase", "Whoever read the key"]);
    std::fs::copy(sealed.config(), &earlier).expect("a copy");
    sealed.reconfigure(&passphrase, &transit);
    let (done, text) = sealed.seal(&["migrate"]).await;
    assert!(!done && text.contains("name with -fromConfig"), "{text}");
    let before = std::fs::read(sealed.key()).expect("a key");
    double.trouble(Some(DoubleAnswer::Status(403, "{}".to_owned())));
    let (done, text) = sealed.seal(&["migrate", "-fromConfig", &from]).await;
    assert!(!done && text.contains("renew the token"), "{text}");
    assert_eq!(std::fs::read(sealed.key()).expect("a key"), before, "nothing is lost");
    double.trouble(None);
    let (done, text) = sealed.seal(&["migrate", "-fromConfig", &from]).await;
    assert!(done && text.contains("was sealed by passphrase, and is sealed by transit"), "{text}");
    sealed.comes_back().await;
    assert_unharmed(&sealed.server, &["kept"]).await;

    // Seals are each server's own affair: the key is the same.
    let joiner = replica(&sealed.bench, "joiner", vec![sealed.server.peer_address()]);
    let key = sealed.bench.scratch.join("joiner.key");
    private(&key, &String::from_utf8(founder_key).expect("text"));
    let mut joiner = sealed.bench.launch_with(&joiner, &ExtraLines::default());
    joiner.ready().await.expect("it joins with the plain key");
}

#[tokio::test]
async fn a_new_sealing_key_waits_until_the_service_seals_it() {
    let bench = Bench::new();
    let double = TransitDouble::start(bench.scratch.path()).await.expect("a double");
    let mut sealed = Sealed::founded(bench, &double.seal_block(), Vec::new()).await;
    sealed.comes_back().await;
    double.trouble(Some(DoubleAnswer::Status(503, r#"{"errors":["Vault is sealed"]}"#.to_owned())));
    let waiting = async {
        until("it says why the change waits", READY_AGAIN_MAX, async || {
            let (_, said) = sealed.seal(&["status"]).await;
            if said.contains("0 of 1 members keep") && said.contains("node 1") && said.contains("Vault is sealed") {
                Ok(())
            } else {
                Err(said)
            }
        })
        .await
        .expect("it does");
        double.trouble(None);
    };
    let ((done, text), ()) = tokio::join!(sealed.new_key(), waiting);
    assert!(done, "{text}");
    sealed.server.stop().await.expect("it stops");
    assert_eq!(double.plaintexts().len(), 2, "a key each");
    for plain in double.plaintexts() {
        assert_eq!(found(&sealed.bench, &plain), Vec::<PathBuf>::new(), "neither is on the disk as it is");
    }
    sealed.comes_back().await;
    assert_unharmed(&sealed.server, &["kept"]).await;
}
