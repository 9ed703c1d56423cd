use steeple_core::SystemClock;

use super::*;

#[tokio::test]
async fn a_workload_api_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let server =
        SpireServer { address: "127.0.0.1:1".to_owned(), workload_api_socket: socket.clone(), require_pq_kem: false };
    let trust_domain = TrustDomain::from_name("example.org").unwrap();
    let authority = SpireAuthority::new(server, trust_domain, Arc::new(SystemClock));
    let text = authority.bundle().await.unwrap_err().to_string();
    let expected = format!("unable to create X509Source: {}: Unavailable: ", socket.display());
    assert!(text.starts_with(&expected), "{text}");
}
