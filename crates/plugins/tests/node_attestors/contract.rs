//! What holds for every node attestor with a server's half of its own. `join_token`, whose server's half is in the core
//! of the server, keeps the same contract over the wire: `node_attestation` among the tests of the agent.

use std::path::Path;
use std::sync::Arc;

use sha1::{Digest as _, Sha1};
use steeple_core::TrustDomain;
use steeple_core::plugin::{AgentNodeAttestor, AttestStatus, NodeAttestor};
use steeple_plugins::x509pop::{Trust, X509PopAgent, X509PopFiles, X509PopServer, X509PopSettings};
use steeple_testkit::NodeCertificateAuthority;

use super::conversation::{TRUST_DOMAIN, clock, converse, present};
use super::{http_challenge, kubernetes_protocol_double, sshpop, tpm_devid};

pub struct Subject {
    pub name: &'static str,
    /// The server's half, in a trust domain.
    pub server: Box<dyn Fn(TrustDomain) -> Arc<dyn NodeAttestor>>,
    pub agent: Arc<dyn AgentNodeAttestor>,
    /// Of the agent's ID, behind `/spire/agent`.
    pub path: String,
    pub selectors: Vec<String>,
    pub can_reattest: bool,
    /// The code for a payload that is none.
    pub malformed: AttestStatus,
    /// Whether what an agent said is worth nothing in another conversation.
    pub is_challenged: bool,
    /// What the other end of the subject is, for as long as it is looked at.
    pub _kept: Box<dyn std::any::Any>,
}

impl Subject {
    fn in_domain(&self, name: &str) -> Arc<dyn NodeAttestor> {
        (self.server)(TrustDomain::parse(name).unwrap())
    }
}

async fn subjects(dir: &Path) -> Vec<Subject> {
    let mut subjects = vec![x509pop(dir), http_challenge::subject(), kubernetes_protocol_double::subject(dir).await];
    subjects.extend(sshpop::subject(dir));
    subjects.extend(tpm_devid::subject(dir).await);
    subjects
}

fn x509pop(dir: &Path) -> Subject {
    let nodes = NodeCertificateAuthority::new(dir).unwrap();
    let node = nodes.issue(dir, "node-1").unwrap();
    let der = |path: &Path| pem::parse(std::fs::read(path).unwrap()).unwrap().into_contents();
    let (root, leaf) = (der(nodes.root_path()), der(&node.certificate_path));
    let agent = X509PopAgent::new(X509PopFiles {
        private_key_path: node.private_key_path,
        certificate_path: node.certificate_path,
        intermediates_path: None,
    });
    let fingerprint = |der: &[u8]| hex::encode(Sha1::digest(der));
    Subject {
        name: "x509pop",
        path: format!("/x509pop/{}", fingerprint(&leaf)),
        selectors: vec![format!("ca:fingerprint:{}", fingerprint(&root)), "subject:cn:node-1".to_owned()],
        server: Box::new(move |trust_domain| {
            let settings = X509PopSettings::new(Trust::ExternalPki(vec![root.clone()]));
            Arc::new(X509PopServer::new(trust_domain, settings, clock()))
        }),
        agent: Arc::new(agent),
        can_reattest: true,
        malformed: AttestStatus::InvalidArgument,
        is_challenged: true,
        _kept: Box::new(()),
    }
}

#[tokio::test]
async fn a_node_is_named_in_the_trust_domain_that_it_attests_to() {
    let dir = tempfile::tempdir().unwrap();
    for subject in subjects(dir.path()).await {
        let name = subject.name;
        assert_eq!((subject.agent.name(), subject.in_domain(TRUST_DOMAIN).name()), (name, name));
        for domain in [TRUST_DOMAIN, "other.test"] {
            let (attested, _) = converse(&subject.agent, &*subject.in_domain(domain)).await;
            let attested = attested.unwrap_or_else(|error| panic!("{name}: {error}"));
            let id = format!("spiffe://{domain}/spire/agent{}", subject.path);
            assert_eq!(attested.agent_id.as_str(), id, "{name}");
            assert_eq!(attested.can_reattest, subject.can_reattest, "{name}");
            assert!(attested.selectors.iter().all(|selector| selector.kind == name), "{name}");
            let values: Vec<&str> = attested.selectors.iter().map(|selector| selector.value.as_str()).collect();
            let values: Vec<&str> = values.into_iter().filter(|value| !value.starts_with("serialnumber:")).collect();
            assert_eq!(values, subject.selectors, "{name}");
            // A server remembers nothing: what is to happen once is the business of its state.
            let (again, _) = converse(&subject.agent, &*subject.in_domain(domain)).await;
            assert_eq!(again.unwrap(), attested, "{name}");
        }
    }
}

#[tokio::test]
async fn garbage_is_refused_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let deep = "[".repeat(100_000);
    for subject in subjects(dir.path()).await {
        let server = subject.in_domain(TRUST_DOMAIN);
        for payload in ["", "nonsense", "null", "[]", "{}", "{\"a\":1}", "\"\u{0}\"", &deep] {
            let error = present(&*server, payload.as_bytes(), Vec::new()).await.unwrap_err();
            let shown = payload.get(..20).unwrap_or(payload);
            assert_eq!(error.status, subject.malformed, "{} {shown}: {error}", subject.name);
            assert!(error.message.len() < MESSAGE_BYTES_MAX, "{} {shown}: {error}", subject.name);
        }
        let error = present(&*server, &[0xff; 100], Vec::new()).await.unwrap_err();
        assert_eq!(error.status, subject.malformed, "{}: {error}", subject.name);
    }
}

#[tokio::test]
async fn a_payload_is_never_too_large_to_be_refused() {
    let dir = tempfile::tempdir().unwrap();
    for subject in subjects(dir.path()).await {
        let (_, said) = converse(&subject.agent, &*subject.in_domain(TRUST_DOMAIN)).await;
        // A good one, with blanks around it that JSON allows, and one long string.
        let blanks = " ".repeat(OVERSIZE_BYTES);
        let long =
            format!("{{\"cluster\":\"{0}\",\"Certificate\":\"{0}\",\"hostname\":\"{0}\"}}", "A".repeat(OVERSIZE_BYTES));
        let padded = [said[0].as_slice(), blanks.as_bytes()].concat();
        for payload in [padded.as_slice(), long.as_bytes()] {
            let error = present(&*subject.in_domain(TRUST_DOMAIN), payload, Vec::new()).await.unwrap_err();
            assert!(error.message.len() < MESSAGE_BYTES_MAX, "{}: {error}", subject.name);
        }
    }
}

#[tokio::test]
async fn what_was_said_once_proves_nothing_in_another_conversation() {
    let dir = tempfile::tempdir().unwrap();
    for subject in subjects(dir.path()).await.into_iter().filter(|subject| subject.is_challenged) {
        let server = subject.in_domain(TRUST_DOMAIN);
        let (attested, said) = converse(&subject.agent, &*server).await;
        attested.unwrap();
        let error = present(&*server, &said[0], said[1..].to_vec()).await.unwrap_err();
        assert!(error.message.contains("verif"), "{}: {error}", subject.name);
        // Nor do answers that are none, or none at all.
        for responses in [vec![b"{}".to_vec()], vec![b"nonsense".to_vec()], vec![Vec::new()], Vec::new()] {
            present(&*server, &said[0], responses).await.unwrap_err();
        }
    }
}

const MESSAGE_BYTES_MAX: usize = 2048;
/// Twice what gRPC lets through.
const OVERSIZE_BYTES: usize = 8 * 1024 * 1024;
