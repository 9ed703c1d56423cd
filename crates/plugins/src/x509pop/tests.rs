//! Both halves against each other, over every supported key kind, and the refusals.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use sha1::{Digest as _, Sha1};
use steeple_core::plugin::{AgentChannel, AgentNodeAttestor as _};
use steeple_core::{SystemClock, Timestamp};
use tokio::sync::mpsc;

use super::*;
use crate::x509pop::{X509PopAgent, X509PopFiles};

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), der }
    }

    fn settings(&self) -> X509PopSettings {
        X509PopSettings::new(Trust::ExternalPki(vec![self.der.clone()]))
    }

    fn issue(&self, dir: &Path, key: &KeyPair, edit: impl FnOnce(&mut CertificateParams)) -> X509PopFiles {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "node-1");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(vec![0x0a, 0xbc].into());
        params.subject_alt_names = vec![SanType::URI("x509pop://example.org/rack/r7".try_into().unwrap())];
        edit(&mut params);
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        let files = X509PopFiles {
            private_key_path: dir.join("key.pem"),
            certificate_path: dir.join("cert.pem"),
            intermediates_path: None,
        };
        std::fs::write(&files.private_key_path, key.serialize_pem()).unwrap();
        std::fs::write(&files.certificate_path, certificate.pem()).unwrap();
        files
    }
}

/// The two ends of one attestation stream.
struct Wire {
    out: mpsc::Sender<Vec<u8>>,
    back: mpsc::Receiver<Vec<u8>>,
}

impl AgentChannel for Wire {
    fn send<'a>(&'a mut self, message: Vec<u8>) -> BoxFuture<'a, Result<Option<Vec<u8>>, AttestError>> {
        Box::pin(async move {
            self.out.send(message).await.map_err(|_| AttestError::internal("closed"))?;
            Ok(self.back.recv().await)
        })
    }
}

impl ChallengeChannel for Wire {
    fn challenge<'a>(&'a mut self, challenge: Vec<u8>) -> BoxFuture<'a, Result<Vec<u8>, AttestError>> {
        Box::pin(async move {
            self.out.send(challenge).await.map_err(|_| AttestError::internal("closed"))?;
            self.back.recv().await.ok_or_else(|| AttestError::internal("closed"))
        })
    }
}

async fn attest(files: X509PopFiles, settings: X509PopSettings) -> Result<Attested, AttestError> {
    let (to_server, mut from_agent) = mpsc::channel(1);
    let (to_agent, from_server) = mpsc::channel(1);
    let agent = tokio::spawn(async move {
        let mut wire = Wire { out: to_server, back: from_server };
        X509PopAgent::new(files).attest(&mut wire).await
    });
    let payload = from_agent.recv().await.unwrap();
    let trust_domain = TrustDomain::parse("example.org").unwrap();
    let server = X509PopServer::new(trust_domain, settings, Arc::new(SystemClock));
    let mut wire = Wire { out: to_agent, back: from_agent };
    let result = server.attest(&payload, Some(IpAddr::from([127, 0, 0, 1])), &mut wire).await;
    drop(wire);
    if result.is_ok() {
        agent.await.unwrap().unwrap();
    }
    result
}

#[tokio::test]
async fn every_key_kind_attests() {
    let ca = Ca::new();
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate_for(algorithm).unwrap();
        let files = ca.issue(dir.path(), &key, |_| {});
        let attested = attest(files, ca.settings()).await.unwrap();
        assert!(attested.can_reattest);
        assert!(attested.agent_id.path().starts_with("/spire/agent/x509pop/"));
        let values: Vec<String> = attested.selectors.iter().map(ToString::to_string).collect();
        let fingerprint = hex::encode(Sha1::digest(&ca.der));
        assert_eq!(
            values,
            [
                format!("x509pop:ca:fingerprint:{fingerprint}"),
                "x509pop:san:rack:r7".into(),
                "x509pop:serialnumber:0abc".into(),
                "x509pop:subject:cn:node-1".into(),
            ]
        );
    }
}

/// As Go writes a beginning that nobody named.
#[tokio::test]
async fn certificates_that_begin_in_the_year_1_are_taken() {
    let beginning = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(1, 1, 1);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    beginning(&mut params);
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let ca = Ca { issuer: Issuer::new(params, key), der };
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    attest(ca.issue(dir.path(), &key, beginning), ca.settings()).await.unwrap();
    attest(ca.issue(dir.path(), &key, |_| {}), ca.settings()).await.unwrap();

    // Of another authority, or over, they are refused as others are.
    let error = attest(ca.issue(dir.path(), &key, beginning), Ca::new().settings()).await.unwrap_err();
    assert!(error.message.starts_with("certificate verification failed: "), "{error}");
    let over = |params: &mut CertificateParams| {
        beginning(params);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    };
    let error = attest(ca.issue(dir.path(), &key, over), ca.settings()).await.unwrap_err();
    assert!(error.message.contains("has expired"), "{error}");
}

#[test]
fn a_beginning_that_was_not_signed_is_refused() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let issue = |year: i32| {
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(year, 1, 1);
        params.signed_by(&key, &ca.issuer).unwrap().der().to_vec()
    };
    let verified = |leaf: &[u8]| {
        certificate_path::verify(leaf, &[], std::slice::from_ref(&ca.der), Timestamp::from_secs(1_800_000_000))
    };
    let (year_1, other) = (issue(1), b"00020101000000Z");
    verified(&year_1).unwrap();
    let at = year_1.windows(other.len()).position(|bytes| bytes == b"00010101000000Z").unwrap();
    for date in [other, b"19700101000000Z"] {
        let mut forged = year_1.clone();
        forged[at..at + other.len()].copy_from_slice(date);
        assert!(verified(&forged).is_err());
    }
    // In the form for 1950 to 2049.
    verified(&issue(1960)).unwrap();
}

#[tokio::test]
async fn an_unknown_ca_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let files = Ca::new().issue(dir.path(), &KeyPair::generate().unwrap(), |_| {});
    let error = attest(files, Ca::new().settings()).await.unwrap_err();
    assert_eq!(error.status, AttestStatus::PermissionDenied);
    assert!(error.message.starts_with("certificate verification failed: "), "{error}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let files = ca.issue(dir.path(), &KeyPair::generate().unwrap(), |params| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let error = attest(files, ca.settings()).await.unwrap_err();
    assert_eq!(error.status, AttestStatus::PermissionDenied);
}

#[tokio::test]
async fn a_certificate_without_digital_signature_is_refused() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let files = ca.issue(dir.path(), &KeyPair::generate().unwrap(), |params| {
        params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    });
    let error = attest(files, ca.settings()).await.unwrap_err();
    assert_eq!(error.message, "unable to generate challenge: certificate not intended for digital signature use");
}

#[tokio::test]
async fn the_client_ip_is_compared_when_asked() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let key = KeyPair::generate().unwrap();
    let settings = X509PopSettings { verify_client_ip: true, ..ca.settings() };
    let other = ca.issue(dir.path(), &key, |_| {});
    let error = attest(other, settings.clone()).await.unwrap_err();
    assert_eq!(error.message, "client IP 127.0.0.1 does not match any certificate IP SAN");
    let same = ca.issue(dir.path(), &key, |params| {
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::from([127, 0, 0, 1])));
    });
    attest(same, settings).await.unwrap();
}

#[tokio::test]
async fn a_template_makes_the_agents_path() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let files = ca.issue(dir.path(), &KeyPair::generate().unwrap(), |_| {});
    let path = async |template: &str| {
        let agent_path = AgentPathTemplate::parse(template, X509PopSettings::AGENT_PATH_FIELDS).unwrap();
        let settings = X509PopSettings { agent_path, ..ca.settings() };
        attest(files.clone(), settings).await.map(|attested| attested.agent_id.path().to_owned())
    };
    assert_eq!(path("/cn/{{ .Subject.CommonName }}").await.unwrap(), "/spire/agent/cn/node-1");
    let many = "/{{ .TrustDomain }}/{{ .URISanSelectors.rack }}/{{ .SerialNumberHex }}";
    assert_eq!(path(many).await.unwrap(), "/spire/agent/example.org/r7/0abc");
    for broken in ["/{{ .URISanSelectors.row }}", "{{ .PluginName }}", "/x/{{ .SVIDPathTrimmed }}"] {
        let error = path(broken).await.unwrap_err();
        assert_eq!(error.status, AttestStatus::Internal, "{broken}");
        assert!(error.message.starts_with("failed to make spiffe id: "), "{error}");
    }
}

#[tokio::test]
async fn an_svid_of_the_trust_domain_is_exchanged_for_an_agents() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let key = KeyPair::generate().unwrap();
    let exchange = async |id: &str, prefix: &str| {
        let files = ca.issue(dir.path(), &key, |params| {
            params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        });
        let roots = vec![ca.der.clone()];
        let trust = Trust::Spiffe { prefix: prefix.to_owned(), own_roots: Arc::new(move || roots.clone()) };
        attest(files, X509PopSettings::new(trust)).await
    };
    let attested = exchange("spiffe://example.org/spire-exchange/host-1", "/spire-exchange/").await.unwrap();
    assert_eq!(attested.agent_id.path(), "/spire/agent/x509pop/host-1");
    let other = exchange("spiffe://example.org/web/host-1", "/spire-exchange/").await.unwrap_err();
    assert_eq!(
        (other.status, other.message.as_str()),
        (AttestStatus::PermissionDenied, "x509 cert doesnt match SVID prefix",)
    );
    let none = exchange("https://example.org/web", "/").await.unwrap_err();
    assert_eq!(none.message, "valid SVID x509 cert not found");
}

struct Echo(Vec<u8>);

impl ChallengeChannel for Echo {
    fn challenge<'a>(&'a mut self, _: Vec<u8>) -> BoxFuture<'a, Result<Vec<u8>, AttestError>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

#[tokio::test]
async fn payload_limits_and_malformed_payloads() {
    let ca = Ca::new();
    let trust_domain = TrustDomain::parse("example.org").unwrap();
    let server = X509PopServer::new(trust_domain, ca.settings(), Arc::new(SystemClock));
    let der = serde_json::to_string(&Bytes(ca.der.clone())).unwrap();
    let six = [der.as_str(); 6].join(",");
    for (payload, message) in [
        ("{}".to_owned(), "no certificate to attest".to_owned()),
        ("{\"certificates\":null}".into(), "no certificate to attest".into()),
        ("null".into(), "no certificate to attest".into()),
        ("[]".into(), "failed to unmarshal data: json: cannot unmarshal array into an object".into()),
        (String::new(), "failed to unmarshal data: unexpected end of JSON input".into()),
        (format!("{{\"certificates\":[{six}]}}"), "too many intermediate certificates".into()),
        (
            "{\"certificates\":[\"AAAA\"]}".into(),
            "unable to parse leaf certificate: x509: malformed certificate".into(),
        ),
        (
            format!("{{\"certificates\":[{der},\"AAAA\"]}}"),
            "unable to parse intermediate certificate 0: x509: malformed certificate".into(),
        ),
    ] {
        let error = server.attest(payload.as_bytes(), None, &mut Echo(Vec::new())).await.unwrap_err();
        assert_eq!((error.status, error.message), (AttestStatus::InvalidArgument, message));
    }
    let error = server.attest(b"nonsense", None, &mut Echo(Vec::new())).await.unwrap_err();
    assert!(error.message.starts_with("failed to unmarshal data: "), "{error}");
}

#[tokio::test]
async fn a_response_for_another_key_is_refused() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let files = ca.issue(dir.path(), &KeyPair::generate().unwrap(), |_| {});
    let certificate = pem::parse(std::fs::read(&files.certificate_path).unwrap()).unwrap();
    let payload = serde_json::to_vec(&Payload { certificates: vec![Bytes(certificate.into_contents())] }).unwrap();
    let trust_domain = TrustDomain::parse("example.org").unwrap();
    let server = X509PopServer::new(trust_domain, ca.settings(), Arc::new(SystemClock));
    let nonce = serde_json::to_string(&Bytes(vec![1; NONCE_BYTES])).unwrap();
    for (response, message) in [
        ("{}".to_owned(), "challenge response verification failed: expecting ECDSA response"),
        ("null".to_owned(), "challenge response verification failed: expecting ECDSA response"),
        (
            format!("{{\"ecdsa_signature\":{{\"nonce\":{nonce},\"r\":\"AQ==\",\"s\":\"AQ==\"}}}}"),
            "challenge response verification failed: ECDSA signature verify failed",
        ),
        (
            "{\"ecdsa_signature\":{\"nonce\":\"AQ==\"}}".into(),
            "challenge response verification failed: invalid response nonce",
        ),
    ] {
        let error = server.attest(&payload, None, &mut Echo(response.into_bytes())).await.unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (AttestStatus::PermissionDenied, message));
    }
    assert!(Timestamp::from_secs(1) < SystemClock.now());
}
