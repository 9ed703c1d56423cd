//! Rate limits, as callers meet them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::attest_agent_request::{Params, Step};
use steeple_api::server::agent::{AgentX509svidParams, AttestAgentRequest};
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_api::server::svid::{BatchNewWitsvidRequest, BatchNewX509svidRequest, NewWitsvidParams, NewX509svidParams};
use steeple_api::status::retry_delay;
use steeple_api::types::AttestationData;
use steeple_core::Secret;
use steeple_core::plugin::AgentNodeAttestor;
use steeple_plugins::join_token::JoinTokenAttestor;
use steeple_testkit::{Scratch, until};
use steeple_transport::client::uds_channel;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::on_record::records;
use crate::site::{Node, READY_MAX, Site};

/// Enough for many handshakes at once on a busy machine.
const KNOCK_MAX: Duration = Duration::from_secs(20);
/// Clients behind a load balancer, each with an address of its own.
const HOSTS: u8 = 40;

/// An attestation without any content: it is limited before it is read.
async fn knock(channel: Channel, within: Duration) -> Status {
    let mut request = Request::new(tokio_stream::empty::<AttestAgentRequest>());
    request.set_timeout(within);
    match AgentClient::new(channel).attest_agent(request).await {
        Ok(response) => response.into_inner().message().await.expect_err("nothing was asked"),
        Err(status) => status,
    }
}

async fn sign(node: &Node, count: usize) -> Result<usize, Status> {
    let request = BatchNewX509svidRequest { params: vec![NewX509svidParams::default(); count] };
    let response = SvidClient::new(node.channel.clone()).batch_new_x509svid(request).await?;
    Ok(response.into_inner().results.len())
}

#[tokio::test]
async fn a_second_attestation_from_an_address_waits_or_is_told() {
    let site = Site::with("").await;
    let begin = Instant::now();
    site.by_join_token().await;
    site.by_join_token().await;
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());

    let channel = site.channel(None, &site.address).await;
    // One a second is let in: most of these would have to wait for longer than they can.
    let mut answers: FuturesUnordered<_> = (0..60).map(|_| knock(channel.clone(), KNOCK_MAX)).collect();
    let text = "rejecting request due to attest agent rate limiting: rate: Wait(n=1) would exceed context deadline";
    let told = |status: &Status| status.code() == Code::ResourceExhausted && status.message() == text;
    let mut heard = Vec::new();
    while !heard.iter().any(told) {
        heard.push(answers.next().await.unwrap_or_else(|| panic!("nobody is told: {heard:?}")));
    }
}

#[tokio::test]
async fn callers_on_the_admin_socket_are_not_limited() {
    let site = Site::with("").await;
    let channel = uds_channel(&site.scratch.join("api.sock"));
    // On the network most of these would have to wait for longer.
    let answers = join_all((0..60).map(|_| knock(channel.clone(), KNOCK_MAX))).await;
    assert!(answers.iter().all(|status| status.code() == Code::InvalidArgument), "{answers:?}");
}

/// One that is in the hands of the attestor until `host` answers.
async fn attest_by(channel: Channel, host: SocketAddr) -> Status {
    let payload = format!(r#"{{"hostname":"{}","agentname":"default","port":{}}}"#, host.ip(), host.port());
    let data = AttestationData { r#type: "http_challenge".to_owned(), payload: payload.into_bytes() };
    let params = Params { data: Some(data), params: Some(AgentX509svidParams { csr: vec![1] }) };
    let said = [Step::Params(params), Step::ChallengeResponse(b"it is there".to_vec())];
    let said = said.map(|step| AttestAgentRequest { step: Some(step) });
    let mut answers = match AgentClient::new(channel).attest_agent(tokio_stream::iter(said)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return status,
    };
    loop {
        if let Err(status) = answers.message().await {
            return status;
        }
    }
}

#[tokio::test]
async fn attestations_beyond_what_a_server_can_take_on_are_told_when_to_come_back() {
    let scratch = Scratch::new().expect("a directory");
    let site = Site::configured(scratch, "", "NodeAttestor \"http_challenge\" {}\n").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = silent.local_addr().expect("an address");
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok(connection) = silent.accept().await {
            held.push(connection);
        }
    });
    // Callers on this socket are not limited by their address.
    let channels: Vec<_> = (0..6).map(|_| uds_channel(&site.scratch.join("api.sock"))).collect();
    let knocking = channels.iter().cycle().take(600).map(|channel| attest_by(channel.clone(), host));
    let mut answers: FuturesUnordered<_> = knocking.collect();
    let first = answers.next().await.expect("an answer");
    let text = "this server has as much attestation to do as it can take on; retry after 3s";
    assert_eq!((first.code(), first.message()), (Code::ResourceExhausted, text));
    assert_eq!(retry_delay(&first), Some(Duration::from_secs(3)));

    // As soon as the host is gone there is room again.
    accepting.abort();
    let others = tokio::spawn(async move { while answers.next().await.is_some() {} });
    until("a node is let in", READY_MAX, async || {
        let token = site.admin.create_join_token(READY_MAX).await.expect("a token");
        let attestor: Arc<dyn AgentNodeAttestor> =
            Arc::new(JoinTokenAttestor::new(Some(Secret::new(token.into_bytes()))));
        site.attest(&attestor).await.map(drop)
    })
    .await
    .expect("let in");
    others.await.expect("they end");
}

#[tokio::test]
async fn a_batch_is_charged_by_item() {
    let site = Site::with("").await;
    let node = site.by_join_token().await;
    let refused = sign(&node, 501).await.expect_err("more than the burst");
    let text = "rejecting request due to certificate signing rate limiting: rate (501) exceeds burst size (500)";
    assert_eq!((refused.code(), refused.message()), (Code::ResourceExhausted, text));
    let wit = BatchNewWitsvidRequest { params: vec![NewWitsvidParams::default(); 501] };
    let refused = SvidClient::new(node.channel.clone()).batch_new_witsvid(wit).await.expect_err("as well");
    assert_eq!((refused.code(), refused.message()), (Code::ResourceExhausted, text));

    let begin = Instant::now();
    assert_eq!(sign(&node, 500).await.expect("the burst"), 500);
    assert_eq!(sign(&node, 250).await.expect("after a wait"), 250);
    assert!(begin.elapsed() >= Duration::from_millis(500), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn the_switches_are_honoured() {
    let site = Site::with("ratelimit { attestation = false signing = false }").await;
    let node = site.by_join_token().await;
    assert_eq!(sign(&node, 501).await.expect("no limit"), 501);
    let channel = site.channel(None, &site.address).await;
    let answers = join_all((0..60).map(|_| knock(channel.clone(), KNOCK_MAX))).await;
    assert!(answers.iter().all(|status| status.code() == Code::InvalidArgument), "{answers:?}");
}

/// A load balancer on localhost that passes TCP through, and says that it speaks for `client`.
async fn balancer(server: String, client: SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&server).await.expect("the server listens");
            let header = format!("PROXY TCP4 {} 127.0.0.1 {} 8081\r\n", client.ip(), client.port());
            far.write_all(header.as_bytes()).await.expect("it reads");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    address
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_limited_and_on_record_by_their_own_addresses() {
    let site = Site::with("proxy_protocol_trusted_cidrs = [\"127.0.0.0/8\"]").await;
    let mut channels = Vec::new();
    for host in 1..=HOSTS {
        let address = balancer(site.address.clone(), SocketAddr::from(([10, 0, 0, host], 4_000))).await;
        channels.push(site.channel(None, &address).await);
    }
    // If they shared an address, half of them would have to wait for longer.
    let answers = join_all(channels.into_iter().map(|channel| knock(channel, KNOCK_MAX))).await;
    assert!(answers.iter().all(|status| status.code() == Code::InvalidArgument), "{answers:?}");

    let log = || std::fs::read_to_string(site.scratch.join("log")).expect("a log");
    let all = async || {
        let known = records(&log(), "AttestAgent");
        if known.len() == usize::from(HOSTS) { Ok(known) } else { Err(format!("{} records", known.len())) }
    };
    let known = until("all records", READY_MAX, all).await.expect("they come");
    let mut callers: Vec<&str> = known.iter().filter_map(|record| record["caller_addr"].as_str()).collect();
    callers.sort_unstable();
    callers.dedup();
    assert!(callers.len() == usize::from(HOSTS) && callers[0] == "10.0.0.10:4000", "{callers:?}");
}

#[tokio::test]
async fn a_header_from_elsewhere_ends_the_connection() {
    let site = Site::with("proxy_protocol_trusted_cidrs = [\"192.0.2.0/24\"]").await;
    let address = balancer(site.address.clone(), SocketAddr::from(([10, 0, 0, 1], 4_000))).await;
    let status = knock(site.channel(None, &address).await, KNOCK_MAX).await;
    assert!(matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded), "{status}");
    let status = knock(site.channel(None, &site.address).await, KNOCK_MAX).await;
    assert_eq!(status.code(), Code::InvalidArgument, "the same client without a proxy: {status}");
}
