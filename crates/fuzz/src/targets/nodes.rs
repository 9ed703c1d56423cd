//! What a node says of itself before anybody knows it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use steeple_core::plugin::{AttestError, Attested, BoxFuture, ChallengeChannel, NodeAttestor};
use steeple_core::{Clock, Timestamp};
use steeple_plugins::AgentPathTemplate;
use steeple_plugins::k8s_psat::K8sPsatServer;
use steeple_plugins::sshpop::{Authorities, SshPopServer, SshPopSettings};
use steeple_plugins::tpm_devid::{TpmDevIdServer, TpmDevIdSettings};
use steeple_plugins::x509pop::{Trust, X509PopServer, X509PopSettings};

use super::{issued, text};
use crate::{Verdict, within};

/// The payload of `x509pop`. Nobody gets further than the challenge, which this agent answers with its payload.
pub fn x509pop(data: &[u8]) -> Verdict {
    static SERVER: LazyLock<X509PopServer> = LazyLock::new(|| {
        let settings = X509PopSettings::new(Trust::ExternalPki(vec![issued::ROOT.to_vec()]));
        X509PopServer::new(issued::trust_domain(), settings, Arc::new(Standstill))
    });
    within(60, data, || challenged(&*SERVER, data))
}

pub fn x509pop_seeds() -> Vec<Vec<u8>> {
    let certificate = STANDARD.encode(issued::SVID);
    vec![serde_json::json!({ "certificates": [certificate] }).to_string().into_bytes()]
}

/// The payload of `tpm_devid`. Nobody gets further than the challenge either.
pub fn tpm_devid(data: &[u8]) -> Verdict {
    static SERVER: LazyLock<TpmDevIdServer> = LazyLock::new(|| {
        let (devices, manufacturer) = (vec![issued::DEVICES.to_vec()], vec![issued::TPM_MANUFACTURER.to_vec()]);
        let settings = TpmDevIdSettings::new(devices, manufacturer);
        TpmDevIdServer::new(issued::trust_domain(), settings, Arc::new(Standstill))
    });
    within(60, data, || challenged(&*SERVER, data))
}

pub fn tpm_devid_seeds() -> Vec<Vec<u8>> {
    vec![issued::TPM_PAYLOAD.to_vec()]
}

/// A host certificate, in the payload of `sshpop`.
pub fn ssh_certificate(data: &[u8]) -> Verdict {
    static SERVER: LazyLock<SshPopServer> = LazyLock::new(|| {
        let authorities = Authorities::parse([issued::SSH_AUTHORITY]).expect("a key");
        SshPopServer::new(issued::trust_domain(), SshPopSettings::new(authorities), Arc::new(Standstill))
    });
    let payload = serde_json::json!({ "Certificate": STANDARD.encode(data) }).to_string().into_bytes();
    // A principal without a letter takes four bytes there, and a string here.
    within(40, &payload, || challenged(&*SERVER, &payload))
}

/// The server's side of `sshpop`: keys of authorities, one on each line.
pub fn ssh_authorities(data: &[u8]) -> Verdict {
    let Some(text) = text(data) else { return Verdict::Refused };
    Verdict::of(within(60, data, || Authorities::parse(text.lines())).ok())
}

/// The payload of `k8s_psat`, up to the cluster that it names: nobody has configured any.
pub fn service_account_token(data: &[u8]) -> Verdict {
    static SERVER: LazyLock<K8sPsatServer> =
        LazyLock::new(|| K8sPsatServer::new(issued::trust_domain(), BTreeMap::new()));
    let refused = within(30, data, || attest(&*SERVER, data, &mut Agent::default())).expect_err("nobody is let in");
    Verdict::read_if(!refused.message.contains("failed to unmarshal"))
}

/// `agent_path_template`. What it makes of any agent is a path or an error.
pub fn agent_path(data: &[u8]) -> Verdict {
    let fields = X509PopSettings::AGENT_PATH_FIELDS;
    let parsed = text(data).map(|text| within(20, data, || AgentPathTemplate::parse(text, fields)));
    let Some(Ok(template)) = parsed else { return Verdict::Refused };
    let path = template.render(|field| Some(format!("<{field}>"))).expect("every field has a value");
    assert!(!path.contains("{{"), "an action is left over: {path}");
    assert!(template.render(|_| None).is_ok() || path.contains('<'), "a path without its fields");
    Verdict::Read
}

/// Whether the attestation came as far as a challenge.
fn challenged(server: &dyn NodeAttestor, payload: &[u8]) -> Verdict {
    let mut agent = Agent { answer: payload.to_vec(), challenges: 0 };
    let outcome = attest(server, payload, &mut agent);
    assert!(outcome.is_err(), "an agent without its key was let in");
    Verdict::read_if(agent.challenges > 0)
}

/// Nothing is waited for: the agent answers at once.
fn attest(server: &dyn NodeAttestor, payload: &[u8], agent: &mut Agent) -> Result<Attested, AttestError> {
    let mut attestation = server.attest(payload, None, agent);
    match attestation.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits for somebody else"),
    }
}

/// Says the same to every challenge.
#[derive(Default)]
struct Agent {
    answer: Vec<u8>,
    challenges: usize,
}

impl ChallengeChannel for Agent {
    fn challenge<'a>(&'a mut self, _: Vec<u8>) -> BoxFuture<'a, Result<Vec<u8>, AttestError>> {
        self.challenges += 1;
        let answer = self.answer.clone();
        Box::pin(std::future::ready(Ok(answer)))
    }
}

struct Standstill;

impl Clock for Standstill {
    fn now(&self) -> Timestamp {
        issued::NOW
    }
}
