//! A bundle endpoint with a certificate of the web.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use steeple_testkit::{Binaries, ExtraLines, Port, Scratch, ServerSpec, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::domain::{Endpoint, PATIENCE, federation, server, spec, until_fetched};

/// A certificate authority of the web, in a world of its own.
struct WebAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl WebAuthority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes certificate and key for 127.0.0.1.
    fn certify(&self, certificate: &Path, key: &Path) {
        let pair = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let leaf = params.signed_by(&pair, &self.issuer).expect("a certificate");
        std::fs::write(key, pair.serialize_pem()).expect("a file");
        std::fs::write(certificate, leaf.pem()).expect("a file");
    }
}

#[tokio::test]
async fn https_web_trusts_the_systems_roots_and_reloads_its_files() {
    let scratch = Scratch::new().expect("a directory");
    let ours = Binaries::find().expect("our programs");
    let (good, bad) = (WebAuthority::new(), WebAuthority::new());
    let (certificate, key, roots) = (scratch.join("tls.crt"), scratch.join("tls.key"), scratch.join("roots.pem"));
    good.certify(&certificate, &key);
    std::fs::write(&roots, &good.pem).expect("a file");

    let a = Endpoint::reserve("a.test");
    let profile = format!(
        "profile \"https_web\" {{ serving_cert_file {{ cert_file_path = \"{}\" key_file_path = \"{}\" \
         file_sync_interval = \"200ms\" }} }}",
        certificate.display(),
        key.display()
    );
    let serving = ExtraLines { server: federation(&[a.served(&profile)]), ..ExtraLines::default() };
    let mut server_a = server(&ours, &scratch, &spec("a", a.trust_domain), &serving).await;

    let metrics = Port::reserve().expect("a free port");
    let following = ExtraLines {
        server: federation(&[a.followed("\"https_web\" {}")]),
        top: format!("telemetry {{ Prometheus {{ port = {} }} }}", metrics.number()),
        ..ExtraLines::default()
    };
    // The roots of the machine, as Go's programs are given others.
    let env = vec![
        ("SSL_CERT_FILE".to_owned(), roots.display().to_string()),
        ("SSL_CERT_DIR".to_owned(), scratch.join("none").display().to_string()),
    ];
    let spec_b = ServerSpec { env, ..spec("b", "b.test") };
    let mut server_b = server(&ours, &scratch, &spec_b, &following).await;
    let held = until_fetched(&server_b, a.trust_domain).await;

    let shown = scrape(&metrics.address()).await;
    for series in [
        "spire_server_bundle_manager_fetch_federated_bundle{",
        "spire_server_bundle_manager_fetch_federated_bundle_elapsed_time_count{",
        "spire_server_bundle_manager_update_federated_bundle{",
        "steeple_federated_bundle_age_seconds{",
        "steeple_federated_bundle_poll_interval_seconds{",
        "steeple_federated_bundle_expiry_seconds{",
    ] {
        let found = shown.lines().find(|line| line.starts_with(series));
        let line = found.unwrap_or_else(|| panic!("{series} is not in: {shown}"));
        assert!(line.contains("trust_domain_id=\"a_test\""), "{line}");
    }
    for series in [
        "spire_server_ca_cert_expiry_seconds{",
        "steeple_attested_agents{",
        "steeple_ca_lifetime_seconds{",
        "steeple_cluster_info{",
        "steeple_data_volume_available_bytes{",
        "steeple_jwt_key_lifetime_seconds{",
        "steeple_raft_leader_changes_total{",
        "steeple_raft_proposals_total{",
        "# TYPE steeple_wal_sync_seconds histogram",
        "steeple_wal_sync_seconds_bucket{",
        "steeple_x509_svid_ttl_max_seconds{",
    ] {
        assert!(shown.lines().any(|line| line.starts_with(series)), "{series} is not in: {shown}");
    }

    // A certificate that nobody vouches for: the bundle stays.
    bad.certify(&certificate, &key);
    let refused = until("a refusal", PATIENCE, async || match server_b.admin().refresh_bundle(a.trust_domain).await {
        Ok(()) => Err("accepted"),
        Err(status) => Ok(status),
    });
    let refused = refused.await.expect("a refusal");
    let text = format!(
        "failed to refresh bundle: failed to fetch federated bundle from endpoint: failed to fetch bundle: \
         Get \"{}\": ",
        a.url()
    );
    assert!(refused.message().starts_with(&text) && refused.code() == tonic::Code::Internal, "{refused}");
    assert_eq!(server_b.admin().federated_bundle(a.trust_domain).await.expect("the bundle stays"), held);

    good.certify(&certificate, &key);
    let refresh = until("a refresh", PATIENCE, async || server_b.admin().refresh_bundle(a.trust_domain).await);
    refresh.await.expect("the good certificate is back");
    server_a.stop().await.expect("an orderly end");
    server_b.stop().await.expect("an orderly end");
}

pub async fn scrape(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the metrics port");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    text
}
