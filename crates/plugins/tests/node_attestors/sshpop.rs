//! `sshpop` with host certificates that `ssh-keygen` made.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use steeple_core::plugin::{AgentNodeAttestor, AttestError, AttestStatus, Attested};
use steeple_plugins::AgentPathTemplate;
use steeple_plugins::sshpop::{Authorities, SshPopAgent, SshPopFiles, SshPopServer, SshPopSettings};
use steeple_testkit::{SshCertificateAuthority, SshHost};

use super::contract::Subject;
use super::conversation::{clock, converse, present, trust_domain};

const OPTIONS: &str = "-h -n host.x.test,alias -V -1m:+1d -z 7";

fn settings(authority: &SshCertificateAuthority) -> SshPopSettings {
    let line = authority.public_key().unwrap();
    SshPopSettings::new(Authorities::parse([line.as_str()]).unwrap())
}

fn open(host: &SshHost) -> Result<SshPopAgent, AttestError> {
    let host = host.clone();
    SshPopAgent::open(SshPopFiles { host_key_path: host.key_path, host_cert_path: host.certificate_path })
}

fn agent(host: &SshHost) -> Arc<dyn AgentNodeAttestor> {
    Arc::new(open(host).unwrap_or_else(|error| panic!("{error}")))
}

async fn attest(host: &SshHost, settings: SshPopSettings) -> Result<Attested, AttestError> {
    converse(&agent(host), &SshPopServer::new(trust_domain(), settings, clock())).await.0
}

fn fingerprint(host: &SshHost) -> String {
    let text = std::fs::read_to_string(&host.certificate_path).unwrap();
    let blob = STANDARD.decode(text.split_whitespace().nth(1).unwrap()).unwrap();
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &blob))
}

/// `None` where there is no `ssh-keygen`.
pub fn subject(dir: &Path) -> Option<Subject> {
    let authority = SshCertificateAuthority::new(dir, "ssh-ca", "ed25519").unwrap()?;
    let host = authority.issue(dir, "ssh-host", "ed25519", OPTIONS).unwrap();
    Some(Subject {
        name: "sshpop",
        agent: agent(&host),
        path: format!("/sshpop/{}", fingerprint(&host)),
        server: Box::new(move |trust_domain| Arc::new(SshPopServer::new(trust_domain, settings(&authority), clock()))),
        selectors: Vec::new(),
        can_reattest: true,
        malformed: AttestStatus::Internal,
        is_challenged: true,
        _kept: Box::new(()),
    })
}

#[tokio::test]
async fn every_kind_of_key_attests() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let kinds = [
        "ed25519",
        "ecdsa -b 256",
        "ecdsa -b 384",
        "ecdsa -b 521",
        "rsa -b 2048",
        "rsa -b 3072 -m PEM",
        "rsa -b 2048 -m PKCS8",
        "ecdsa -b 256 -m PEM",
        "ecdsa -b 384 -m PKCS8",
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        let Some(authority) = SshCertificateAuthority::new(dir, &format!("ca-{number}"), kind).unwrap() else { return };
        let host = authority.issue(dir, &format!("host-{number}"), kind, OPTIONS).unwrap();
        let attested = attest(&host, settings(&authority)).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(attested.agent_id.path(), format!("/spire/agent/sshpop/{}", fingerprint(&host)), "{kind}");
    }
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused_with_gos_texts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let Some(authority) = SshCertificateAuthority::new(dir, "ca", "rsa -b 2048").unwrap() else { return };
    let Some(other) = SshCertificateAuthority::new(dir, "other", "ed25519").unwrap() else { return };
    let issue = |authority: &SshCertificateAuthority, name: &str, options: &str| {
        authority.issue(dir, name, "ed25519", options).unwrap_or_else(|error| panic!("{error:#}"))
    };
    for (host, why) in [
        (issue(&authority, "user", "-n root"), "ssh: certificate presented as a host key has type 1"),
        (issue(&other, "foreign", "-h -n host.x.test"), "ssh: no authorities for hostname: host.x.test:22"),
        (issue(&authority, "old", "-h -n host.x.test -V 20010101:20020101"), "ssh: cert has expired"),
        (issue(&authority, "new", "-h -n host.x.test -V 20990101:21000101"), "ssh: cert is not yet valid"),
        (
            issue(&authority, "option", "-h -n host.x.test -O critical:odd=1"),
            "ssh: unsupported critical option \"odd\" in certificate",
        ),
        (issue(&authority, "sha1", "-h -n host.x.test -t ssh-rsa"), "ssh: certificate is signed with SHA-1 (ssh-rsa)"),
    ] {
        let error = attest(&host, settings(&authority)).await.unwrap_err();
        assert_eq!(error.status, AttestStatus::Internal);
        assert!(error.message.starts_with(&format!("failed to check host key: {why}")), "{error}");
    }
    let nameless = issue(&authority, "nameless", "-h");
    assert_eq!(attest(&nameless, settings(&authority)).await.unwrap_err().message, "cert has no valid principals");
    // For ever is a time too.
    attest(&issue(&authority, "forever", "-h -n host.x.test"), settings(&authority)).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_was_changed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(authority) = SshCertificateAuthority::new(dir.path(), "ca", "ecdsa").unwrap() else { return };
    let host = authority.issue(dir.path(), "host", "ed25519", OPTIONS).unwrap();
    let server = SshPopServer::new(trust_domain(), settings(&authority), clock());
    let text = std::fs::read_to_string(&host.certificate_path).unwrap();
    let blob = STANDARD.decode(text.split_whitespace().nth(1).unwrap()).unwrap();
    let payload = |blob: &[u8]| format!("{{\"Certificate\":\"{}\"}}", STANDARD.encode(blob)).into_bytes();
    for place in 0..blob.len() {
        let mut changed = blob.clone();
        changed[place] ^= 1;
        let error = present(&server, &payload(&changed), Vec::new()).await.unwrap_err();
        assert_ne!(error.message, "the agent is silent", "byte {place} is not signed");
    }
    for length in 0..blob.len() {
        let error = present(&server, &payload(&blob[..length]), Vec::new()).await.unwrap_err();
        assert_ne!(error.message, "the agent is silent", "{length} bytes are enough");
    }
    let longer = [blob.as_slice(), &[0]].concat();
    assert_ne!(present(&server, &payload(&longer), Vec::new()).await.unwrap_err().message, "the agent is silent");
    assert_eq!(present(&server, &payload(&blob), Vec::new()).await.unwrap_err().message, "the agent is silent");
    let key = std::fs::read_to_string(host.key_path.with_extension("pub")).unwrap();
    let key = STANDARD.decode(key.split_whitespace().nth(1).unwrap()).unwrap();
    let error = present(&server, &payload(&key), Vec::new()).await.unwrap_err();
    assert_eq!(error.message, "pubkey in response is not a certificate");
}

#[tokio::test]
async fn hosts_are_named_by_their_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let Some(authority) = SshCertificateAuthority::new(dir.path(), "ca", "ed25519").unwrap() else { return };
    let host = authority.issue(dir.path(), "host", "ed25519", OPTIONS).unwrap();
    let path = async |template: &str, domain: &str| {
        let agent_path = AgentPathTemplate::parse(template, SshPopSettings::AGENT_PATH_FIELDS).unwrap();
        let settings = SshPopSettings { canonical_domain: domain.to_owned(), agent_path, ..settings(&authority) };
        attest(&host, settings).await.map(|attested| attested.agent_id.path().to_owned())
    };
    assert_eq!(path("/h/{{ .Hostname }}", "").await.unwrap(), "/spire/agent/h/host.x.test");
    assert_eq!(path("/h/{{ .Hostname }}", "x.test").await.unwrap(), "/spire/agent/h/host");
    let many = "/{{ .PluginName }}/{{ index .ValidPrincipals 1 }}/{{ .KeyId }}/{{ .Serial }}";
    assert_eq!(path(many, "").await.unwrap(), "/spire/agent/sshpop/alias/host/7");
    let error = path("/{{ .Hostname }}", "y.test").await.unwrap_err();
    assert_eq!(error.message, "failed to decanonicalize hostname: cert principal is not in domain \".y.test\"");
    for broken in ["{{ .Hostname }}", "/{{ index .ValidPrincipals 2 }}"] {
        let error = path(broken, "").await.unwrap_err();
        assert!(error.message.starts_with("failed to create AgentID: "), "{error}");
    }
}

#[tokio::test]
async fn files_that_do_not_belong_together_are_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let Some(authority) = SshCertificateAuthority::new(dir, "ca", "ed25519").unwrap() else { return };
    let [rsa, ed25519] = ["rsa -b 2048", "ed25519"].map(|kind| {
        let name = kind.split(' ').next().unwrap();
        authority.issue(dir, name, kind, OPTIONS).unwrap()
    });
    let pair = |key: &Path, certificate: &Path| {
        open(&SshHost { key_path: key.to_owned(), certificate_path: certificate.to_owned() }).err().map(|e| e.message)
    };
    assert_eq!(pair(&rsa.key_path, &rsa.certificate_path), None);
    let start = "failed to get cert and signer from pem: ";
    let mixed = pair(&rsa.key_path, &ed25519.certificate_path).unwrap();
    assert_eq!(mixed, format!("{start}the host key is not the key of the host certificate"));
    let swapped = pair(&rsa.certificate_path, &rsa.key_path).unwrap();
    assert_eq!(swapped, format!("{start}ssh: no key found"));
    let missing = pair(&dir.join("none"), &rsa.certificate_path).unwrap();
    assert!(missing.starts_with("failed to read host key file: open /"), "{missing}");
    let missing = pair(&rsa.key_path, &dir.join("none")).unwrap();
    assert!(missing.starts_with("failed to read host cert file: open /"), "{missing}");
}
