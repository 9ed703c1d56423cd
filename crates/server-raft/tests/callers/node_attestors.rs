//! The contract of node attestors over the wire, `join_token` included: whom they let in, as whom, and how often.

use std::sync::Arc;

use steeple_agent::identity::AttestFailure;
use steeple_api::server::agent::ListAgentsRequest;
use steeple_api::types::Agent;
use steeple_core::Secret;
use steeple_core::plugin::{AgentChannel, AgentNodeAttestor, AttestError, BoxFuture};
use steeple_plugins::http_challenge::{HttpChallengeAgent, HttpChallengeEndpoint};
use steeple_plugins::join_token::JoinTokenAttestor;
use steeple_plugins::k8s_psat::K8sPsatAgent;
use steeple_plugins::sshpop::{SshPopAgent, SshPopFiles};
use steeple_plugins::tpm_devid::{TpmDevIdAgent, TpmDevIdFiles, TpmPasswords};
use steeple_plugins::x509pop::X509PopAgent;
use steeple_testkit::{DevIdAuthority, DevIdKind, KubernetesApiDouble, Scratch, SoftTpm, SshCertificateAuthority};
use tonic::Code;

use crate::site::{READY_MAX, Site};

const NO_LIMIT: &str = "ratelimit { attestation = false }";

/// How an attestor is held to the contract.
struct Subject {
    agent: Arc<dyn AgentNodeAttestor>,
    /// Some of the agent's, without the type.
    selectors: &'static [&'static str],
    /// The refusal when a node attests again; `None`: it is the same agent then.
    again: Option<&'static str>,
    /// The code for a payload that is none.
    malformed: Code,
}

async fn holds(site: &Site, subject: Subject) {
    let Subject { agent, selectors, again, malformed } = subject;
    let name = agent.name().to_owned();
    let oversize = vec![b' '; OVERSIZE_BYTES];
    for (payload, code) in [(b"nonsense".to_vec(), malformed), (oversize, Code::InvalidArgument)] {
        let stranger: Arc<dyn AgentNodeAttestor> = Arc::new(Says { name: name.clone(), payload });
        let refused = status(site.attest(&stranger).await.map(|_| ()));
        assert_eq!(refused.0, code, "{name}: {}", refused.1);
        assert_eq!(listed(site, &name).await, [], "{name}: nobody was let in");
    }
    let svid = site.attest(&agent).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    let start = format!("spiffe://example.org/spire/agent/{name}/");
    assert!(svid.id.as_str().starts_with(&start), "{name}: {}", svid.id);
    let [known] = <[Agent; 1]>::try_from(listed(site, &name).await).unwrap();
    let id = known.id.unwrap_or_default();
    assert_eq!(format!("spiffe://{}{}", id.trust_domain, id.path), svid.id.as_str(), "{name}");
    assert_eq!((known.can_reattest, svid.reattestable), (again.is_none(), again.is_none()), "{name}");
    for selector in selectors {
        let of_type = |known: &steeple_api::types::Selector| known.r#type == name && known.value == *selector;
        assert!(known.selectors.iter().any(of_type), "{name}: {selector} is not in {:?}", known.selectors);
    }
    let second = site.attest(&agent).await;
    match again {
        None => assert_eq!(second.unwrap_or_else(|error| panic!("{name}: {error}")).id, svid.id),
        Some(text) => {
            let (_, message) = status(second.map(|_| ()));
            assert!(message.ends_with(text), "{name}: {message}");
        }
    }
    assert_eq!(listed(site, &name).await.len(), 1, "{name}");
}

/// An agent that says one thing.
struct Says {
    name: String,
    payload: Vec<u8>,
}

impl AgentNodeAttestor for Says {
    fn name(&self) -> &str {
        &self.name
    }

    fn attest<'a>(&'a self, channel: &'a mut dyn AgentChannel) -> BoxFuture<'a, Result<(), AttestError>> {
        Box::pin(async move { channel.send(self.payload.clone()).await.map(|_| ()) })
    }
}

async fn listed(site: &Site, kind: &str) -> Vec<Agent> {
    let agents = site.admin.agents().list_agents(ListAgentsRequest::default()).await.expect("a list").into_inner();
    agents.agents.into_iter().filter(|agent| agent.attestation_type == kind).collect()
}

fn status(outcome: Result<(), AttestFailure>) -> (Code, String) {
    let failure = outcome.expect_err("a refusal");
    let status = failure.status().unwrap_or_else(|| panic!("{failure}"));
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn every_attestor_names_its_agents_and_takes_no_garbage() {
    let scratch = Scratch::new().expect("a directory");
    let authority = SshCertificateAuthority::new(scratch.path(), "ca", "ed25519").expect("ssh-keygen");
    let host = authority.as_ref().map(|authority| {
        authority.issue(scratch.path(), "host", "rsa -b 2048", "-h -n host.test").expect("a certificate")
    });
    let tpm = SoftTpm::start(scratch.path(), "tpm").await.expect("swtpm");
    let devices = DevIdAuthority::new(scratch.path(), "devices").expect("an authority");
    let mut plugins = "NodeAttestor \"http_challenge\" {}\n".to_owned();
    plugins.extend(authority.as_ref().map(SshCertificateAuthority::server_block));
    plugins.extend(tpm.as_ref().map(|tpm| tpm.server_block(&devices)));
    let device = tpm.as_ref().map(|tpm| {
        let devid = tpm.provision(scratch.path(), "device", &devices, DevIdKind::Rsa, "").expect("a key");
        let files = TpmDevIdFiles {
            devid_cert_path: devid.certificate_path,
            devid_priv_path: devid.private_path,
            devid_pub_path: devid.public_path,
            tpm_device_path: Some(tpm.socket().to_owned()),
        };
        let none = || Secret::new(Vec::new());
        let passwords = TpmPasswords { devid: none(), owner_hierarchy: none(), endorsement_hierarchy: none() };
        TpmDevIdAgent::open(files, passwords).expect("usable files")
    });
    let site = Site::configured(scratch, NO_LIMIT, &plugins).await;

    let token = site.admin.create_join_token(READY_MAX).await.expect("a token");
    let join_token = Subject {
        agent: Arc::new(JoinTokenAttestor::new(Some(Secret::new(token.into_bytes())))),
        selectors: &[],
        again: Some("join token does not exist or has already been used"),
        malformed: Code::InvalidArgument,
    };
    let x509pop = Subject {
        agent: Arc::new(X509PopAgent::new(site.certificate())),
        selectors: &["subject:cn:node"],
        again: None,
        malformed: Code::InvalidArgument,
    };
    let http_challenge = Subject {
        agent: Arc::new(HttpChallengeAgent::new(HttpChallengeEndpoint {
            host_name: "127.0.0.1".to_owned(),
            agent_name: HttpChallengeEndpoint::AGENT_NAME.to_owned(),
            port: 0,
            advertised_port: 0,
        })),
        selectors: &["hostname:127.0.0.1"],
        again: Some("attestation data has already been used to attest an agent"),
        malformed: Code::InvalidArgument,
    };
    let sshpop = host.map(|host| Subject {
        agent: Arc::new(
            SshPopAgent::open(SshPopFiles { host_key_path: host.key_path, host_cert_path: host.certificate_path })
                .expect("usable files"),
        ),
        selectors: &[],
        again: None,
        malformed: Code::Internal,
    });
    let tpm_devid = device.map(|device| Subject {
        agent: Arc::new(device),
        selectors: &["subject:cn:device", "issuer:cn:devices"],
        again: None,
        malformed: Code::InvalidArgument,
    });
    for subject in [join_token, x509pop, http_challenge].into_iter().chain(sshpop).chain(tpm_devid) {
        holds(&site, subject).await;
    }
}

#[tokio::test]
async fn kubernetes_protocol_double_names_its_agents_and_takes_no_garbage() {
    let scratch = Scratch::new().expect("a directory");
    let api = KubernetesApiDouble::start().await.expect("an API server");
    api.put_agent("good");
    let token_path = scratch.join("token");
    std::fs::write(&token_path, "good").expect("a token");
    let plugins = api.server_block(scratch.path()).expect("a kubeconfig");
    let site = Site::configured(scratch, NO_LIMIT, &plugins).await;
    let subject = Subject {
        agent: Arc::new(K8sPsatAgent::new("test".to_owned(), token_path)),
        selectors: &["agent_ns:spire", "agent_node_uid:node-uid", "agent_node_label:zone:a", "cluster:test"],
        again: None,
        malformed: Code::InvalidArgument,
    };
    holds(&site, subject).await;
}

/// More than gRPC lets through.
const OVERSIZE_BYTES: usize = 5 * 1024 * 1024;
