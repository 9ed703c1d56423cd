use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;

fn bootstrap(source: TrustBootstrap) -> Bootstrap {
    let server = HostPort::new("server.test", 8081);
    Bootstrap { source, trust_domain: TrustDomain::parse("example.org").unwrap(), server }
}

const FIRST: Attempt = Attempt { again: false, number: 1, started_at: Timestamp::from_secs(1_708_497_925) };

#[tokio::test]
async fn a_bundle_over_a_unix_socket_is_asked_for_with_the_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let body = pem::encode(&pem::Pem::new("CERTIFICATE", [1, 2, 3]));
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(stream.read_u8().await.unwrap());
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        String::from_utf8(asked).unwrap()
    });
    let url = "http://localhost/trust?site=a#part".to_owned();
    let source = TrustBootstrap::Url { url, unix_socket: Some(path), format: BundleFormat::Pem };
    let contact = bootstrap(source).first_contact(Attempt { again: true, number: 2, ..FIRST }).await.unwrap();
    assert_eq!(contact, FirstContact::Roots(vec![vec![1, 2, 3]]));
    let asked = served.await.unwrap();
    let line = "GET /trust?site=a&spiffe-trust-domain=example.org&spire-attest-mode=rebootstrap\
                &spire-attest-start-time=2024-02-21T06%3A45%3A25Z&spire-connection-attempts=2\
                &spire-server-address=server.test&spire-server-port=8081 HTTP/1.1";
    assert_eq!(asked.lines().next(), Some(line));
}

#[tokio::test]
async fn a_source_that_gives_nothing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.pem");
    let file = bootstrap(TrustBootstrap::File { path: path.clone(), format: BundleFormat::Pem });
    let text = async || file.first_contact(FIRST).await.unwrap_err().to_string();
    assert!(text().await.contains("No such file"));
    std::fs::write(&path, "no PEM at all").unwrap();
    assert_eq!(text().await, format!("no certificates found in trust bundle {}", path.display()));
    std::fs::write(&path, pem::encode(&pem::Pem::new("CERTIFICATE", [1]))).unwrap();
    assert_eq!(file.first_contact(FIRST).await.unwrap(), FirstContact::Roots(vec![vec![1]]));

    let url = "http://localhost/".to_owned();
    let unix_socket = Some(dir.path().join("none.sock"));
    let nobody = bootstrap(TrustBootstrap::Url { url, unix_socket, format: BundleFormat::Spiffe });
    let text = nobody.first_contact(FIRST).await.unwrap_err().to_string();
    assert!(text.starts_with("unable to fetch trust bundle URL http://localhost/: cannot connect"), "{text}");

    let address = format!("unix:{}", dir.path().join("none.sock").display());
    let nobody = bootstrap(TrustBootstrap::WorkloadApi { address });
    let text = nobody.first_contact(FIRST).await.unwrap_err().to_string();
    assert!(text.starts_with("unable to fetch trust bundle from SPIFFE Workload API unix:"), "{text}");
}
