//! `http_challenge`: whoever answers is asked for the nonce.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use steeple_core::plugin::{AgentChannel, AgentNodeAttestor as _, AttestError, AttestStatus, BoxFuture};
use steeple_plugins::http_challenge::{
    HttpChallengeAgent, HttpChallengeEndpoint, HttpChallengeServer, HttpChallengeSettings,
};
use steeple_testkit::until;
use steeple_transport::client::http_get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::contract::Subject;
use super::conversation::{present, trust_domain};

const EVENT_MAX: Duration = Duration::from_secs(60);
const NONCE_PATH: &str = "/.well-known/spiffe/nodeattestor/http_challenge/default/challenge";

fn endpoint(port: u16) -> HttpChallengeEndpoint {
    HttpChallengeEndpoint {
        host_name: "127.0.0.1".to_owned(),
        agent_name: HttpChallengeEndpoint::AGENT_NAME.to_owned(),
        port,
        advertised_port: 0,
    }
}

fn server() -> HttpChallengeServer {
    HttpChallengeServer::new(trust_domain(), HttpChallengeSettings::new(&[], None, None, None).unwrap())
}

pub fn subject() -> Subject {
    Subject {
        name: "http_challenge",
        server: Box::new(|trust_domain| {
            let settings = HttpChallengeSettings::new(&["^127[.]".to_owned()], None, None, None).unwrap();
            Arc::new(HttpChallengeServer::new(trust_domain, settings))
        }),
        agent: Arc::new(HttpChallengeAgent::new(endpoint(0))),
        path: "/http_challenge/127.0.0.1".to_owned(),
        selectors: vec!["hostname:127.0.0.1".to_owned()],
        can_reattest: false,
        malformed: AttestStatus::InvalidArgument,
        is_challenged: true,
        _kept: Box::new(()),
    }
}

/// Somebody at a port of this host who answers every request with `answer`.
async fn stranger(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    port
}

#[tokio::test]
async fn only_the_nonce_itself_is_an_answer() {
    let page = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let redirect = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec();
    for (answer, why) in [
        (page("200 OK", "another nonce"), "expected nonce was not found in HTTP response"),
        (page("200 OK", ""), "expected nonce was not found in HTTP response"),
        (page("404 Not Found", "404 page not found\n"), "expected nonce was not found in HTTP response"),
        (page("200 OK", &"x".repeat(1 << 20)), "the answer has more than 64 bytes"),
        (redirect, "http redirects are disabled"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "Get \"http://127.0.0.1:"),
        (Vec::new(), "Get \"http://127.0.0.1:"),
    ] {
        let port = stranger(answer).await;
        let payload = json!({ "hostname": "127.0.0.1", "agentname": "default", "port": port }).to_string();
        let error = present(&server(), payload.as_bytes(), vec![b"\n".to_vec()]).await.unwrap_err();
        assert_eq!(error.status, AttestStatus::PermissionDenied);
        assert!(error.message.starts_with("challenge verification failed: "), "{error}");
        assert!(error.message.contains(why), "{error}");
    }
}

#[tokio::test]
async fn hosts_and_ports_that_are_none() {
    for (hostname, port, why) in [
        ("", 80, "hostname must be set"),
        ("a/b", 80, "hostname can not contain a slash"),
        ("::1", 80, "hostname can not contain a colon"),
        ("127.0.0.1", 0, "port is invalid"),
        ("127.0.0.1", -1, "port is invalid"),
        ("127.0.0.1", 65536, "port is invalid"),
        ("127.0.0.1@x.invalid", 80, "Get \"http://127.0.0.1@x.invalid:80/"),
        ("host name", 80, "Get \"http://host name:80/"),
    ] {
        let payload = json!({ "hostname": hostname, "agentname": "default", "port": port }).to_string();
        let error = present(&server(), payload.as_bytes(), vec![b"\n".to_vec()]).await.unwrap_err();
        assert_eq!(error.status, AttestStatus::PermissionDenied, "{error}");
        assert!(error.message.starts_with(&format!("challenge verification failed: {why}")), "{error}");
    }
}

/// The agent's end of a conversation in which the test is the server.
struct ToTest {
    said: mpsc::Sender<Vec<u8>>,
    challenge: Option<Vec<u8>>,
    content: Option<oneshot::Receiver<()>>,
}

impl AgentChannel for ToTest {
    fn send<'a>(&'a mut self, message: Vec<u8>) -> BoxFuture<'a, Result<Option<Vec<u8>>, AttestError>> {
        Box::pin(async move {
            self.said.send(message).await.unwrap();
            if let Some(challenge) = self.challenge.take() {
                return Ok(Some(challenge));
            }
            let _ = self.content.take().unwrap().await;
            Ok(None)
        })
    }
}

#[tokio::test]
async fn an_agent_serves_the_nonce_while_it_attests_and_nothing_else() {
    let (said, mut heard) = mpsc::channel(2);
    let (content, told) = oneshot::channel();
    let challenge = Some(br#"{"nonce":"abc_-="}"#.to_vec());
    let agent = tokio::spawn(async move {
        let mut channel = ToTest { said, challenge, content: Some(told) };
        HttpChallengeAgent::new(endpoint(0)).attest(&mut channel).await
    });
    let payload: serde_json::Value = serde_json::from_slice(&heard.recv().await.unwrap()).unwrap();
    assert_eq!((payload["hostname"].as_str(), payload["agentname"].as_str()), (Some("127.0.0.1"), Some("default")));
    let port = u16::try_from(payload["port"].as_u64().unwrap()).unwrap();
    assert_eq!(heard.recv().await.unwrap(), b"\n");

    let reply = http_get("127.0.0.1", port, NONCE_PATH, 64).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.body.as_ref()), (200, b"abc_-=\n".as_slice()));
    for other in ["/", "/.well-known/spiffe/nodeattestor/http_challenge/other/challenge"] {
        assert_eq!(http_get("127.0.0.1", port, other, 64).await.unwrap().status.as_u16(), 404);
    }
    // Clients that say nothing do not keep the server out.
    let mut idle = Vec::new();
    for _ in 0..32 {
        idle.push(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    assert_eq!(http_get("127.0.0.1", port, NONCE_PATH, 64).await.unwrap().status.as_u16(), 200);

    content.send(()).unwrap();
    agent.await.unwrap().unwrap();
    let closed = async || match http_get("127.0.0.1", port, NONCE_PATH, 64).await {
        Ok(reply) => Err(format!("{} is answered", reply.status)),
        Err(_) => Ok(()),
    };
    until("the port is free", EVENT_MAX, closed).await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named_by_the_agent() {
    let taken = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let (said, _heard) = mpsc::channel(2);
    let mut channel = ToTest { said, challenge: None, content: None };
    let error = HttpChallengeAgent::new(endpoint(port)).attest(&mut channel).await.unwrap_err();
    assert!(error.message.starts_with(&format!("could not listen on port {port}: ")), "{error}");
}
