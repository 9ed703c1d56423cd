//! The metrics over TLS: who is shown what.

use std::io;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use steeple_api::server::svid::MintX509svidRequest;
use steeple_testkit::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bench::{Bench, assert_says};
use crate::wire::{Identity, csr, tls};

/// An X.509-SVID of the trust domain.
async fn svid(server: &Server, id: &str) -> Identity {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let request = MintX509svidRequest { csr: csr(&key, id), ttl: 600 };
    let minted = server.admin().svids().mint_x509svid(request).await.expect("an SVID").into_inner();
    (minted.svid.expect("an SVID").cert_chain, key.serialize_der())
}

/// The metrics, as whoever holds `identity` sees them.
async fn scrape(port: u16, identity: Option<Identity>) -> io::Result<String> {
    let mut stream = tls(&format!("127.0.0.1:{port}"), identity, b"http/1.1").await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A server whose metrics are behind `tls { }` with these settings.
async fn serving(bench: &Bench, settings: &str) -> (Server, u16) {
    let port = bench.port();
    let mut server = bench.server("server").await;
    server.stop().await.expect("it stops");
    let path = bench.config_of(&server);
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let section = format!("telemetry {{ Prometheus {{ host = \"127.0.0.1\" port = {port} tls {{ {settings} }} }} }}\n");
    std::fs::write(&path, text + &section).expect("a configuration");
    server.launch().expect("it starts");
    server.ready().await.expect("it becomes ready");
    (server, port)
}

#[tokio::test]
async fn only_authorized_ids_see_the_metrics_under_the_servers_svid() {
    let bench = Bench::new();
    let settings = "use_spire_svid = true authorized_spiffe_ids = [\"spiffe://example.org/prometheus\"]";
    let (server, port) = serving(&bench, settings).await;
    let prometheus = svid(&server, "spiffe://example.org/prometheus").await;
    // The server's own SVID comes after it is ready for administrators: whoever is earlier waits for it.
    let seen = scrape(port, Some(prometheus)).await.expect("they are shown");
    assert_says(&seen, &["200 OK", "spire_server_ca_cert_expiry_seconds{"]);
    let stranger = svid(&server, "spiffe://example.org/stranger").await;
    for identity in [None, Some(stranger)] {
        let refused = scrape(port, identity).await.expect_err("a handshake that fails").to_string();
        assert!(refused.contains("fatal alert"), "{refused}");
    }
}

#[tokio::test]
async fn certificate_files_show_the_metrics_to_everybody_or_to_clients_of_a_ca() {
    let bench = Bench::new();
    let authority = rcgen::generate_simple_self_signed(["metrics.test".to_owned()]).expect("a certificate");
    let (certificate, key) = (bench.scratch.join("metrics.pem"), bench.scratch.join("metrics.key"));
    std::fs::write(&certificate, authority.cert.pem()).expect("a file");
    std::fs::write(&key, authority.signing_key.serialize_pem()).expect("a file");
    let files = format!("cert_file = {certificate:?} key_file = {key:?}");
    let (mut server, port) = serving(&bench, &files).await;
    assert_says(&scrape(port, None).await.expect("metrics"), &["200 OK", "spire_server_started{"]);

    let path = bench.config_of(&server);
    let text = std::fs::read_to_string(&path).expect("a configuration");
    server.stop().await.expect("it stops");
    std::fs::write(&path, text.replace(&files, &format!("{files} client_ca_file = {certificate:?}"))).expect("a file");
    server.launch().expect("it starts");
    server.ready().await.expect("it becomes ready");
    let refused = scrape(port, None).await.expect_err("a handshake that fails").to_string();
    assert!(refused.contains("fatal alert"), "{refused}");

    std::fs::write(&path, text.replace(&files, &format!("{files} client_ca_file = \"/nowhere.pem\""))).expect("a file");
    server.stop().await.expect("it stops");
    let said = bench.refused(&path, &[]).await;
    assert_says(&said, &["failed to create TLS config for Prometheus", "/nowhere.pem"]);
}
