//! Clients of the Workload API that no agent should meet.

use steeple_api::agent::delegatedidentity::FetchJwtsviDsRequest;
use steeple_api::agent::delegatedidentity::delegated_identity_client::DelegatedIdentityClient;
use steeple_api::agent::logger::SetLogLevelRequest;
use steeple_api::agent::logger::logger_client::LoggerClient;
use steeple_api::envoy::discovery::DiscoveryRequest;
use steeple_api::envoy::sds::secret_discovery_service_client::SecretDiscoveryServiceClient;
use steeple_api::server::entry::CountEntriesRequest;
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_api::workload::{JwtsvidRequest, ValidateJwtsvidRequest, X509svidRequest};
use steeple_testkit::{WorkloadStream, own_uid_selector, workload_entry};
use steeple_transport::client::uds_channel;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tonic::Code;

use crate::site::{DROPPED_MAX, EVENT_MAX, World, with_header};

#[tokio::test]
async fn bad_workloads_are_told_and_others_are_served() {
    let world = World::new().await;
    let token = world.token().await;
    let mut agent = world.agent("agent", &token, &world.bundle);
    agent.ready().await.expect("the agent attests");
    let mut stream = world.serve_own_uid("/w", &agent).await;

    let mut client = SpiffeWorkloadApiClient::new(uds_channel(&agent.socket()));
    let status = client.fetch_x509svid(X509svidRequest {}).await.expect_err("no header");
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "security header missing from request"));

    for (audience, part) in [
        (Vec::new(), "audience must be specified"),
        (vec!["x".repeat(1 << 20)], "the audience has more than 1000 members or 65536 bytes"),
    ] {
        let request = JwtsvidRequest { audience, spiffe_id: String::new() };
        let status = client.fetch_jwtsvid(with_header(request)).await.expect_err(part);
        assert!(status.message().contains(part), "{status}");
    }
    let request = JwtsvidRequest { audience: vec!["a".to_owned()], spiffe_id: "not an id".to_owned() };
    let status = client.fetch_jwtsvid(with_header(request)).await.expect_err("a bad SPIFFE ID");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let request = ValidateJwtsvidRequest { audience: "a".to_owned(), svid: "a.b.c".to_owned() };
    let status = client.validate_jwtsvid(with_header(request)).await.expect_err("no token");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let request = ValidateJwtsvidRequest { audience: "a".to_owned(), svid: "x".repeat(5 << 20) };
    let status = client.validate_jwtsvid(with_header(request)).await.expect_err("5 MiB");
    let text = "grpc: received message larger than max (5242888 vs. 4194304)";
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, text));
    let status = EntryClient::new(uds_channel(&agent.socket())).count_entries(CountEntriesRequest::default()).await;
    let status = status.expect_err("a service of servers");
    let text = "unknown service spire.api.server.entry.v1.Entry";
    assert_eq!((status.code(), status.message()), (Code::Unimplemented, text));

    let garbage: [&[u8]; 3] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 4096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x20\x01\x04\x00\x00\x00\x01\x82",
    ];
    for (socket, bytes) in
        [agent.socket(), world.admin_socket("agent")].iter().flat_map(|at| garbage.map(|it| (at, it)))
    {
        let mut stream = UnixStream::connect(socket).await.expect("the socket is open");
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(DROPPED_MAX, stream.read_to_end(&mut answer)).await;
        assert!(
            ended.is_ok(),
            "{} keeps a connection that said {:?}",
            socket.display(),
            String::from_utf8_lossy(bytes)
        );
    }
    let mut loggers = LoggerClient::new(uds_channel(&world.admin_socket("agent")));
    let status = loggers.set_log_level(SetLogLevelRequest::default()).await.expect_err("no level");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let mut delegates = DelegatedIdentityClient::new(uds_channel(&world.admin_socket("agent")));
    let request = FetchJwtsviDsRequest { audience: vec!["x".repeat(5 << 20)], ..FetchJwtsviDsRequest::default() };
    let status = delegates.fetch_jwtsvi_ds(request).await.expect_err("5 MiB");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let mut envoy = SecretDiscoveryServiceClient::new(uds_channel(&agent.socket()));
    let request = DiscoveryRequest { resource_names: vec!["x".repeat(5 << 20)], ..DiscoveryRequest::default() };
    let status = envoy.fetch_secrets(request).await.expect_err("5 MiB");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    // Two million names of nothing, in 4 MiB.
    let request =
        DiscoveryRequest { resource_names: vec![String::new(); (2 << 20) - 16], ..DiscoveryRequest::default() };
    let status = envoy.fetch_secrets(request).await.expect_err("no such secret");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");

    // Those who behave are served, old stream and new.
    let admin = world.server.admin();
    let parent = admin.agent_ids("join_token").await.expect("a list").remove(0);
    admin.create_entry(workload_entry("v", &parent, "/v", vec![own_uid_selector()])).await.expect("an entry");
    stream.wait_for("spiffe://example.org/v", EVENT_MAX).await.expect("an update on the old stream");
    let mut fresh = WorkloadStream::open(&agent.socket()).await.expect("a new stream");
    fresh.next().await.expect("an answer");
    agent.stop().await.expect("it stops");
}
