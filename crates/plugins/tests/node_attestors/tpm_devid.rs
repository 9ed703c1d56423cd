//! `tpm_devid` with the keys of real TPMs in software.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha1::{Digest as _, Sha1};
use steeple_core::Secret;
use steeple_core::plugin::{
    AgentChannel, AgentNodeAttestor, AttestError, AttestStatus, Attested, BoxFuture, NodeAttestor,
};
use steeple_plugins::tpm_devid::{TpmDevIdAgent, TpmDevIdFiles, TpmDevIdServer, TpmDevIdSettings, TpmPasswords};
use steeple_testkit::{DevId, DevIdAuthority, DevIdKind, SoftTpm};
use steeple_tpm::Writer;

use super::contract::Subject;
use super::conversation::{clock, converse, present, trust_domain};

fn ders(path: &Path) -> Vec<Vec<u8>> {
    let blocks = pem::parse_many(std::fs::read(path).unwrap()).unwrap();
    blocks.into_iter().map(pem::Pem::into_contents).collect()
}

fn fingerprint(der: &[u8]) -> String {
    hex::encode(Sha1::digest(der))
}

fn settings(authority: &DevIdAuthority, tpms: &[&SoftTpm]) -> TpmDevIdSettings {
    let endorsement = tpms.iter().flat_map(|tpm| ders(tpm.endorsement_ca())).collect();
    TpmDevIdSettings::new(ders(authority.root_path()), endorsement)
}

fn server(authority: &DevIdAuthority, tpms: &[&SoftTpm]) -> TpmDevIdServer {
    TpmDevIdServer::new(trust_domain(), settings(authority, tpms), clock())
}

fn passwords(devid: &str, owner: &str, endorsement: &str) -> TpmPasswords {
    let [devid, owner_hierarchy, endorsement_hierarchy] =
        [devid, owner, endorsement].map(|text| Secret::new(text.as_bytes().to_vec()));
    TpmPasswords { devid, owner_hierarchy, endorsement_hierarchy }
}

fn open(device: &Path, devid: &DevId, passwords: TpmPasswords) -> Result<TpmDevIdAgent, AttestError> {
    let files = TpmDevIdFiles {
        devid_cert_path: devid.certificate_path.clone(),
        devid_priv_path: devid.private_path.clone(),
        devid_pub_path: devid.public_path.clone(),
        tpm_device_path: Some(device.to_owned()),
    };
    TpmDevIdAgent::open(files, passwords)
}

fn agent(tpm: &SoftTpm, devid: &DevId) -> Arc<dyn AgentNodeAttestor> {
    let opened = open(tpm.socket(), devid, passwords(&devid.password, "", ""));
    Arc::new(opened.unwrap_or_else(|error| panic!("{error}")))
}

async fn attest(tpm: &SoftTpm, devid: &DevId, server: &dyn NodeAttestor) -> Result<Attested, AttestError> {
    converse(&agent(tpm, devid), server).await.0
}

/// What an agent presents.
async fn payload(tpm: &SoftTpm, devid: &DevId, server: &dyn NodeAttestor) -> Value {
    let (_, said) = converse(&agent(tpm, devid), server).await;
    serde_json::from_slice(&said[0]).unwrap()
}

/// `None` where there is no `swtpm`.
pub async fn subject(dir: &Path) -> Option<Subject> {
    let tpm = SoftTpm::start(dir, "tpm").await.unwrap()?;
    let authority = DevIdAuthority::new(dir, "devices").unwrap();
    let devid = tpm.provision(dir, "device-1", &authority, DevIdKind::P256, "").unwrap();
    let settings = settings(&authority, &[&tpm]);
    let root = fingerprint(&ders(authority.root_path())[0]);
    Some(Subject {
        name: "tpm_devid",
        agent: agent(&tpm, &devid),
        path: format!("/tpm_devid/{}", fingerprint(&ders(&devid.certificate_path)[0])),
        server: Box::new(move |trust_domain| Arc::new(TpmDevIdServer::new(trust_domain, settings.clone(), clock()))),
        selectors: vec![
            format!("ca:fingerprint:{root}"),
            "issuer:cn:devices".to_owned(),
            "subject:cn:device-1".to_owned(),
        ],
        can_reattest: true,
        malformed: AttestStatus::InvalidArgument,
        is_challenged: true,
        _kept: Box::new(tpm),
    })
}

/// A directory, a TPM, an authority and a device's key with a password.
struct Device {
    dir: tempfile::TempDir,
    tpm: SoftTpm,
    authority: DevIdAuthority,
    devid: DevId,
}

impl Device {
    async fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let tpm = SoftTpm::start(dir.path(), "tpm").await.unwrap()?;
        let authority = DevIdAuthority::new(dir.path(), "devices").unwrap();
        let devid = tpm.provision(dir.path(), "device", &authority, DevIdKind::Rsa, "secret").unwrap();
        Some(Self { dir, tpm, authority, devid })
    }

    fn server(&self) -> TpmDevIdServer {
        server(&self.authority, &[&self.tpm])
    }
}

#[tokio::test]
async fn every_kind_of_key_attests_and_the_tpm_is_left_as_it_was() {
    let Some(device) = Device::new().await else { return };
    let Device { dir, tpm, authority, .. } = &device;
    let intermediate = authority.intermediate("site").unwrap();
    for (number, kind) in [DevIdKind::Rsa, DevIdKind::P256, DevIdKind::P384].into_iter().enumerate() {
        for authority in [authority, &intermediate] {
            let name = format!("device-{number}");
            let devid = tpm.provision(dir.path(), &name, authority, kind, "pw").unwrap();
            let attested =
                attest(tpm, &devid, &device.server()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            let certificates = ders(&devid.certificate_path);
            let id = format!("/spire/agent/tpm_devid/{}", fingerprint(&certificates[0]));
            assert_eq!(attested.agent_id.path(), id);
            let root = ders(authority.root_path()).remove(0);
            let authorities = certificates[1..].iter().chain([&root]);
            let issuer = if certificates.len() == 1 { "devices" } else { "site" };
            let mut expected: Vec<String> =
                authorities.map(|der| format!("tpm_devid:ca:fingerprint:{}", fingerprint(der))).collect();
            expected.extend([format!("tpm_devid:issuer:cn:{issuer}"), format!("tpm_devid:subject:cn:{name}")]);
            expected.sort();
            let selectors: Vec<String> = attested.selectors.iter().map(ToString::to_string).collect();
            assert_eq!(selectors, expected);
            assert_eq!(tpm.loaded().unwrap(), 0);
        }
    }
}

#[tokio::test]
async fn files_as_tpm2_tools_write_them_are_read_too() {
    let Some(device) = Device::new().await else { return };
    for path in [&device.devid.public_path, &device.devid.private_path] {
        let bare = std::fs::read(path).unwrap();
        std::fs::write(path, Writer::default().sized(&bare).as_slice()).unwrap();
    }
    attest(&device.tpm, &device.devid, &device.server()).await.unwrap();
}

#[tokio::test]
async fn two_attestations_at_once_wait_for_each_other() {
    let Some(device) = Device::new().await else { return };
    let (agent, server) = (agent(&device.tpm, &device.devid), device.server());
    let (one, other) = tokio::join!(converse(&agent, &server), converse(&agent, &server));
    assert_eq!(one.0.unwrap(), other.0.unwrap());
}

#[tokio::test]
async fn foreign_authorities_are_refused() {
    let Some(device) = Device::new().await else { return };
    let Device { dir, tpm, authority, devid } = &device;
    let other_tpm = SoftTpm::start(dir.path(), "other").await.unwrap().unwrap();
    let other_authority = DevIdAuthority::new(dir.path(), "others").unwrap();
    for (server, message) in [
        (
            server(&other_authority, &[tpm]),
            "unable to verify DevID signature: verification failed: x509: certificate signed by unknown authority",
        ),
        (
            server(authority, &[&other_tpm]),
            "cannot verify EK signature: endorsement certificate verification failed: x509: certificate signed by \
             unknown authority",
        ),
    ] {
        let error = attest(tpm, devid, &server).await.unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (AttestStatus::InvalidArgument, message));
        assert_eq!(tpm.loaded().unwrap(), 0, "the agent gave up");
    }
}

#[tokio::test]
async fn keys_of_different_tpms_are_refused() {
    let Some(device) = Device::new().await else { return };
    let Device { dir, tpm, authority, devid } = &device;
    let other = SoftTpm::start(dir.path(), "other").await.unwrap().unwrap();
    // The TPM itself refuses a key that another one made.
    let error = converse(&agent(&other, devid), &device.server()).await.0.unwrap_err();
    let start = "unable to start a new TPM session: cannot load DevID key on TPM: TPM2_Load failed: ";
    assert!(error.message.starts_with(start), "{error}");
    assert!(error.message.contains("in another TPM"), "{error}");
    assert_eq!(other.loaded().unwrap(), 0);

    let server = server(authority, &[tpm, &other]);
    let others = other.provision(dir.path(), "elsewhere", authority, DevIdKind::Rsa, "").unwrap();
    let good = payload(tpm, devid, &server).await;
    let elsewhere = payload(&other, &others, &server).await;
    let same_tpm = tpm.provision(dir.path(), "another", authority, DevIdKind::Rsa, "").unwrap();
    let same_tpm = payload(tpm, &same_tpm, &server).await;
    let with = |from: &Value, members: &[&str]| {
        let mut mixed = good.clone();
        for member in members {
            mixed[member] = from[member].clone();
        }
        serde_json::to_vec(&mixed).unwrap()
    };
    let same = "cannot verify that DevID is in the same TPM than AK: ";
    for (mixed, message) in [
        (with(&elsewhere, &["DevIDCert", "DevIDPub"]), format!("{same}certify failed")),
        (with(&elsewhere, &["AKPub"]), format!("{same}signature verification failed")),
        (
            with(&elsewhere, &["EKCert"]),
            "public key in EK certificate differs from public key created via EK template: modulus mismatch".to_owned(),
        ),
        (
            with(&same_tpm, &["DevIDCert"]),
            "DevID key public blob differs from the public key in the DevID certificate".to_owned(),
        ),
    ] {
        let error = present(&server, &mixed, Vec::new()).await.unwrap_err();
        assert_eq!((error.status, error.message), (AttestStatus::InvalidArgument, message));
    }
}

/// An agent that presents other things than its own.
struct Liar {
    agent: Arc<dyn AgentNodeAttestor>,
    lies: Vec<(&'static str, Value)>,
    failure: Arc<Mutex<Option<AttestError>>>,
}

struct LyingChannel<'a> {
    channel: &'a mut dyn AgentChannel,
    lies: &'a [(&'static str, Value)],
}

impl AgentNodeAttestor for Liar {
    fn name(&self) -> &str {
        self.agent.name()
    }

    fn attest<'a>(&'a self, channel: &'a mut dyn AgentChannel) -> BoxFuture<'a, Result<(), AttestError>> {
        Box::pin(async move {
            let told = self.agent.attest(&mut LyingChannel { channel, lies: &self.lies }).await;
            *self.failure.lock().unwrap() = told.clone().err();
            told
        })
    }
}

impl AgentChannel for LyingChannel<'_> {
    fn send<'a>(&'a mut self, message: Vec<u8>) -> BoxFuture<'a, Result<Option<Vec<u8>>, AttestError>> {
        let mut message: Value = serde_json::from_slice(&message).unwrap();
        for (member, lie) in self.lies {
            if let Some(said) = message.get_mut(*member) {
                *said = lie.clone();
            }
        }
        self.channel.send(serde_json::to_vec(&message).unwrap())
    }
}

#[tokio::test]
async fn an_attestation_key_that_is_not_where_the_endorsement_key_is_cannot_be_activated() {
    let Some(device) = Device::new().await else { return };
    let Device { dir, tpm, authority, devid } = &device;
    let other = SoftTpm::start(dir.path(), "other").await.unwrap().unwrap();
    let server = server(authority, &[tpm, &other]);
    let others = other.provision(dir.path(), "elsewhere", authority, DevIdKind::Rsa, "").unwrap();
    let elsewhere = payload(&other, &others, &server).await;
    let lie = |member: &'static str, lie: Value| (member, lie);
    let failure = Arc::default();
    let liar = Liar {
        agent: agent(tpm, devid),
        lies: ["EKCert", "EKPub"].map(|member| lie(member, elsewhere[member].clone())).into(),
        failure: Arc::clone(&failure),
    };
    let liar: Arc<dyn AgentNodeAttestor> = Arc::new(liar);
    converse(&liar, &server).await.0.unwrap_err();
    let error = failure.lock().unwrap().take().unwrap();
    let start = "unable to solve proof of residency challenge: failed to activate credential: TPM2_ActivateCredential";
    assert!(error.message.starts_with(start), "{error}");
    assert_eq!(tpm.loaded().unwrap(), 0);

    // Nor is a guess taken.
    for guess in ["", "AAAA", &STANDARD.encode([0; 32])] {
        let liar =
            Liar { agent: agent(tpm, devid), lies: vec![lie("CredActivation", guess.into())], failure: Arc::default() };
        let liar: Arc<dyn AgentNodeAttestor> = Arc::new(liar);
        let error = converse(&liar, &server).await.0.unwrap_err();
        let message = "credential activation failed: nonces are different";
        assert_eq!((error.status, error.message.as_str()), (AttestStatus::InvalidArgument, message));
    }
}

#[tokio::test]
async fn wrong_passwords_are_told_apart() {
    let Some(mut device) = Device::new().await else { return };
    device.tpm.set_owner_password("owner").unwrap();
    device.tpm.set_endorsement_password("endorsement").unwrap();
    let server = device.server();
    let session = "unable to start a new TPM session: ";
    for (passwords, start) in [
        (
            passwords("secret", "wrong", "endorsement"),
            format!("{session}cannot load DevID key on TPM: TPM2_CreatePrimary"),
        ),
        (passwords("secret", "owner", "wrong"), format!("{session}cannot create endorsement key: ")),
        (passwords("wrong", "owner", "endorsement"), "unable to certify DevID key: TPM2_Certify failed: ".to_owned()),
    ] {
        let agent: Arc<dyn AgentNodeAttestor> = Arc::new(open(device.tpm.socket(), &device.devid, passwords).unwrap());
        let error = converse(&agent, &server).await.0.unwrap_err();
        assert_eq!(error.status, AttestStatus::Internal);
        assert!(error.message.starts_with(&start), "{error}");
        assert!(error.message.contains("wrong password"), "{error}");
        assert_eq!(device.tpm.loaded().unwrap(), 0);
    }
    let right = open(device.tpm.socket(), &device.devid, passwords("secret", "owner", "endorsement")).unwrap();
    let right: Arc<dyn AgentNodeAttestor> = Arc::new(right);
    converse(&right, &server).await.0.unwrap();
}

#[tokio::test]
async fn a_payload_that_was_changed_is_refused() {
    let Some(device) = Device::new().await else { return };
    let server = device.server();
    let good = payload(&device.tpm, &device.devid, &server).await;
    let said = |payload: &Value| serde_json::to_vec(payload).unwrap();
    assert_eq!(present(&server, &said(&good), Vec::new()).await.unwrap_err().message, "the agent is silent");
    let members = ["DevIDPub", "EKCert", "EKPub", "AKPub", "CertifiedDevID", "CertificationSignature", "DevIDCert"];
    for member in members {
        let at = |payload: &mut Value, bytes: &[u8]| match &mut payload[member] {
            Value::Array(list) => list[0] = STANDARD.encode(bytes).into(),
            text => *text = STANDARD.encode(bytes).into(),
        };
        let text = good[member].as_str().or_else(|| good[member][0].as_str()).unwrap();
        let bytes = STANDARD.decode(text).unwrap();
        // Beside their moduli these are held to account by the TPM: it opens no credential that was made for another
        // attestation key, or in another way than its endorsement key's.
        let parameters = if ["EKPub", "AKPub"].contains(&member) { 0..bytes.len() - 256 } else { 0..0 };
        // Certificates are a library's to read.
        let step = if member.ends_with("Cert") { 7 } else { 1 };
        for place in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let mut payload = good.clone();
            at(&mut payload, &changed);
            let error = present(&server, &said(&payload), Vec::new()).await.unwrap_err();
            let is_refused = error.message != "the agent is silent";
            assert!(is_refused || parameters.contains(&place), "{member}: byte {place} is not looked at");
        }
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            let mut payload = good.clone();
            at(&mut payload, &bytes[..length]);
            let error = present(&server, &said(&payload), Vec::new()).await.unwrap_err();
            assert_ne!(error.message, "the agent is silent", "{member}: {length} bytes are enough");
        }
        let mut payload = good.clone();
        at(&mut payload, &[bytes.as_slice(), &[0]].concat());
        let error = present(&server, &said(&payload), Vec::new()).await.unwrap_err();
        assert_ne!(error.message, "the agent is silent", "{member}: more than there is");
        payload[member] = Value::Null;
        present(&server, &said(&payload), Vec::new()).await.unwrap_err();
    }
    let certificate = good["DevIDCert"][0].clone();
    let mut long = good.clone();
    long["DevIDCert"] = vec![certificate; 10].into();
    let error = present(&server, &said(&long), Vec::new()).await.unwrap_err();
    assert_eq!(error.message, "more than 8 DevID intermediate certificates");
}

#[tokio::test]
async fn spires_texts_for_what_is_missing() {
    let Some(device) = Device::new().await else { return };
    let server = device.server();
    let good = payload(&device.tpm, &device.devid, &server).await;
    let malformed = STANDARD.encode("not one");
    for (member, what) in [
        ("AKPub", "missing attestation key public blob"),
        ("DevIDPub", "missing DevID key public blob"),
        ("EKCert", "missing endorsement certificate"),
        ("EKPub", "missing endorsement key public blob"),
        ("DevIDCert", "no DevID certificate to attest"),
    ] {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(member);
        let error = present(&server, &serde_json::to_vec(&without).unwrap(), Vec::new()).await.unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (AttestStatus::InvalidArgument, what));
    }
    for (member, value, start) in [
        ("DevIDCert", vec![malformed.clone()].into(), "unable to parse DevID certificate: "),
        ("EKCert", malformed.clone().into(), "cannot parse endorsement certificate: "),
        ("DevIDPub", malformed.clone().into(), "cannot decode DevID key public blob: "),
        ("AKPub", malformed.clone().into(), "cannot decode attestation key public blob: "),
        ("EKPub", malformed.clone().into(), "cannot decode endorsement key public blob: "),
    ] {
        let mut other: Value = good.clone();
        other[member] = value;
        let error = present(&server, &serde_json::to_vec(&other).unwrap(), Vec::new()).await.unwrap_err();
        assert_eq!(error.status, AttestStatus::InvalidArgument);
        assert!(error.message.starts_with(start), "{error}");
    }
    let error = present(&server, &serde_json::to_vec(&good).unwrap(), vec![b"{".to_vec()]).await.unwrap_err();
    assert!(error.message.starts_with("unable to unmarshall challenges response: "), "{error}");
    let error = present(&server, &serde_json::to_vec(&good).unwrap(), vec![b"{}".to_vec()]).await.unwrap_err();
    assert_eq!(error.message, "devID challenge verification failed: crypto/rsa: verification error");
}

/// What a server may not say, and an agent makes of it.
#[tokio::test]
async fn challenges_that_are_none_are_refused_by_the_agent() {
    let Some(device) = Device::new().await else { return };
    let agent = agent(&device.tpm, &device.devid);
    let answer = async |challenge: &str| {
        let mut channel = Fixed { challenges: vec![challenge.as_bytes().to_vec()] };
        agent.attest(&mut channel).await.unwrap_err().message
    };
    assert!(answer("nonsense").await.starts_with("unable to unmarshall challenges: "));
    let nothing = "received empty credential activation challenge from server";
    assert_eq!(answer("{\"DevID\": \"AAAA\", \"CredActivation\": null}").await, nothing);
    let long = format!("{{\"DevID\": \"{}\"}}", STANDARD.encode([0; 1025]));
    let message = answer(&long).await;
    assert_eq!(
        message,
        "unable to solve proof of possession challenge: failed to sign nonce: it has 1025 bytes, more than 1024"
    );
    let wrong = "{\"DevID\": \"AAAA\", \"CredActivation\": {\"Credential\": \"AAAA\", \"Secret\": \"AAAA\"}}";
    assert!(answer(wrong).await.starts_with("unable to solve proof of residency challenge: failed to activate"));
    assert_eq!(device.tpm.loaded().unwrap(), 0);
}

struct Fixed {
    challenges: Vec<Vec<u8>>,
}

impl AgentChannel for Fixed {
    fn send<'a>(&'a mut self, _: Vec<u8>) -> BoxFuture<'a, Result<Option<Vec<u8>>, AttestError>> {
        Box::pin(std::future::ready(Ok(self.challenges.pop())))
    }
}

/// Not a TPM: what answers on the socket says `reply` to everything.
#[tokio::test]
async fn whatever_answers_for_a_tpm_ends_an_attestation_at_most() {
    let Some(device) = Device::new().await else { return };
    let server = device.server();
    for (number, (reply, told)) in [
        (b"".as_slice(), "failed to fill whole buffer"),
        (b"\x80\x01\x00\x00\x00\x0a\x00\x00\x01\x01", "it is in failure mode: restart the machine"),
        (b"\x00\xc4\x00\x00\x00\x0a\x00\x00\x00\x1e", "not a TPM 2.0"),
        (b"\x80\x01\xff\xff\xff\xff\x00\x00\x00\x00", "a reply of 4294967295 bytes"),
        (
            b"\x80\x02\x00\x00\x00\x0e\x00\x00\x00\x00\x80\x00\x00\x00",
            "the TPM's reply is malformed: it ends too early",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let socket = device.dir.path().join(format!("nonsense-{number}"));
        let listener = UnixListener::bind(&socket).unwrap();
        let talker = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut command = [0; 4096];
            while stream.read(&mut command).is_ok_and(|length| length > 0) {
                if reply.is_empty() || stream.write_all(reply).is_err() {
                    break;
                }
            }
        });
        let agent: Arc<dyn AgentNodeAttestor> =
            Arc::new(open(&socket, &device.devid, passwords("secret", "", "")).unwrap());
        let error = converse(&agent, &server).await.0.unwrap_err();
        let start = "unable to start a new TPM session: cannot load DevID key on TPM: TPM2_CreatePrimary failed: ";
        assert!(error.message.starts_with(start), "{error}");
        assert!(error.message.contains(told), "{error}");
        talker.join().unwrap();
    }
}

/// The TPM itself, behind somebody who says that it is busy when it is first asked to certify.
#[tokio::test]
async fn a_busy_tpm_is_asked_again() {
    let Some(device) = Device::new().await else { return };
    let (socket, tpm) = (device.dir.path().join("busy"), device.tpm.socket().to_owned());
    let listener = UnixListener::bind(&socket).unwrap();
    let between = std::thread::spawn(move || {
        let ((mut agent, _), mut tpm) = (listener.accept().unwrap(), UnixStream::connect(tpm).unwrap());
        let (mut message, mut asked) = ([0; 4096], 0);
        loop {
            let length = agent.read(&mut message).unwrap();
            if length == 0 {
                return asked;
            }
            let is_certify = message[6..10] == 0x148_u32.to_be_bytes();
            asked += usize::from(is_certify);
            if is_certify && asked == 1 {
                agent.write_all(b"\x80\x01\x00\x00\x00\x0a\x00\x00\x09\x22").unwrap();
                continue;
            }
            tpm.write_all(&message[..length]).unwrap();
            let length = tpm.read(&mut message).unwrap();
            agent.write_all(&message[..length]).unwrap();
        }
    });
    let agent: Arc<dyn AgentNodeAttestor> =
        Arc::new(open(&socket, &device.devid, passwords("secret", "", "")).unwrap());
    converse(&agent, &device.server()).await.0.unwrap();
    // The TPM may say so by itself, since the key counts wrong passwords.
    assert!(between.join().unwrap() >= 2);
}

#[tokio::test]
async fn files_and_devices_that_cannot_be_used_are_told() {
    let Some(device) = Device::new().await else { return };
    let Device { dir, tpm, authority, devid } = &device;
    let other = tpm.provision(dir.path(), "other", authority, DevIdKind::P256, "").unwrap();
    let none = dir.path().join("none");
    let told = |devid: DevId| open(tpm.socket(), &devid, passwords("", "", "")).err().map(|error| error.message);
    let start = "unable to load DevID files: cannot load";
    let missing = |what: &str| format!("{start} {what}: open {}: no such file or directory", none.display());
    let of = |devid: &DevId| devid.clone();
    assert_eq!(told(of(devid)), None);
    let without = DevId { certificate_path: none.clone(), ..of(devid) };
    assert_eq!(told(without), Some(missing("certificate(s)")));
    assert_eq!(told(DevId { private_path: none.clone(), ..of(devid) }), Some(missing("private key")));
    assert_eq!(told(DevId { public_path: none.clone(), ..of(devid) }), Some(missing("public key")));
    let mixed = DevId { public_path: other.public_path.clone(), ..of(devid) };
    assert_eq!(told(mixed), Some(format!("{start} public key: it is not the key of the DevID certificate")));
    let swapped = told(DevId { public_path: devid.private_path.clone(), ..of(devid) }).unwrap();
    assert!(swapped.starts_with(&format!("{start} public key: ")), "{swapped}");

    // Where the TPM is, is looked at when it is needed.
    for (path, why) in
        [(&none, "no such file or directory"), (&devid.certificate_path, "neither a device nor a Unix socket")]
    {
        let agent: Arc<dyn AgentNodeAttestor> = Arc::new(open(path, devid, passwords("", "", "")).unwrap());
        let error = converse(&agent, &device.server()).await.0.unwrap_err();
        let message = format!("unable to start a new TPM session: cannot open TPM at {path:?}: {why}");
        assert_eq!((error.status, error.message), (AttestStatus::Internal, message));
    }
}
