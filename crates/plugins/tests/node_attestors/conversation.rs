//! An attestation stream without a network: the agent's half and the server's, each with an end of it.

use std::sync::Arc;

use steeple_core::plugin::{
    AgentChannel, AgentNodeAttestor, AttestError, Attested, BoxFuture, ChallengeChannel, NodeAttestor,
};
use steeple_core::{Clock, SystemClock, TrustDomain};
use tokio::sync::mpsc;

pub const TRUST_DOMAIN: &str = "example.org";

pub fn trust_domain() -> TrustDomain {
    TrustDomain::parse(TRUST_DOMAIN).unwrap()
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// Lets `agent` attest to `server`; returns what came of it and all that the agent said.
pub async fn converse(
    agent: &Arc<dyn AgentNodeAttestor>,
    server: &dyn NodeAttestor,
) -> (Result<Attested, AttestError>, Vec<Vec<u8>>) {
    let (to_server, mut from_agent) = mpsc::channel(1);
    let (to_agent, from_server) = mpsc::channel(1);
    let agent = Arc::clone(agent);
    let agent = tokio::spawn(async move {
        let mut end = AgentEnd { out: to_server, back: from_server };
        agent.attest(&mut end).await
    });
    let Some(payload) = from_agent.recv().await else {
        return (Err(agent.await.unwrap().unwrap_err()), Vec::new());
    };
    let mut end = ServerEnd { out: to_agent, back: from_agent, said: vec![payload.clone()] };
    let attested = server.attest(&payload, None, &mut end).await;
    let said = std::mem::take(&mut end.said);
    drop(end);
    let told = agent.await.unwrap();
    if attested.is_ok() {
        told.expect("the agent knows that the server is content");
    }
    (attested, said)
}

/// Presents a payload to `server` and answers challenges with `responses`, then with nothing.
pub async fn present(
    server: &dyn NodeAttestor,
    payload: &[u8],
    responses: Vec<Vec<u8>>,
) -> Result<Attested, AttestError> {
    server.attest(payload, None, &mut Prepared(responses.into_iter())).await
}

struct AgentEnd {
    out: mpsc::Sender<Vec<u8>>,
    back: mpsc::Receiver<Vec<u8>>,
}

impl AgentChannel for AgentEnd {
    fn send<'a>(&'a mut self, message: Vec<u8>) -> BoxFuture<'a, Result<Option<Vec<u8>>, AttestError>> {
        Box::pin(async move {
            self.out.send(message).await.map_err(|_| AttestError::internal("the server is gone"))?;
            Ok(self.back.recv().await)
        })
    }
}

struct ServerEnd {
    out: mpsc::Sender<Vec<u8>>,
    back: mpsc::Receiver<Vec<u8>>,
    said: Vec<Vec<u8>>,
}

impl ChallengeChannel for ServerEnd {
    fn challenge<'a>(&'a mut self, challenge: Vec<u8>) -> BoxFuture<'a, Result<Vec<u8>, AttestError>> {
        Box::pin(async move {
            self.out.send(challenge).await.map_err(|_| AttestError::internal("the agent is gone"))?;
            let said = self.back.recv().await.ok_or_else(|| AttestError::internal("the agent is gone"))?;
            self.said.push(said.clone());
            Ok(said)
        })
    }
}

struct Prepared(std::vec::IntoIter<Vec<u8>>);

impl ChallengeChannel for Prepared {
    fn challenge<'a>(&'a mut self, _: Vec<u8>) -> BoxFuture<'a, Result<Vec<u8>, AttestError>> {
        Box::pin(std::future::ready(self.0.next().ok_or_else(|| AttestError::internal("the agent is silent"))))
    }
}
