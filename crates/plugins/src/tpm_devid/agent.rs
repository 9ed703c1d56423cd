//! The agent's half. Files are read at the start, and again at each attestation, so a renewed certificate is picked up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use steeple_core::plugin::{AgentChannel, AgentNodeAttestor, AttestError, BoxFuture};
use steeple_core::unreadable;
use steeple_tpm::{Attributes, ECDSA, Hash, PublicArea, RSASSA, Scheme, unsized_buffer};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::NAME;
use super::autodetect::detect;
use super::keys;
use super::session::{DevIdKey, ENDORSEMENT_CERTIFICATE, Session};
use super::wire::{Challenge, Payload, Response};
use crate::certificate::parse;
use crate::json::{self, Bytes};

pub use super::session::TpmPasswords;

/// `plugin_data` of the agent's block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmDevIdFiles {
    pub devid_cert_path: PathBuf,
    pub devid_priv_path: PathBuf,
    pub devid_pub_path: PathBuf,
    /// A device or a Unix socket; `None`: the one below /dev.
    pub tpm_device_path: Option<PathBuf>,
}

pub struct TpmDevIdAgent {
    node: Arc<Node>,
    /// A bare device has place for the keys of one attestation.
    turn: Arc<Mutex<()>>,
}

struct Node {
    files: TpmDevIdFiles,
    device: PathBuf,
    passwords: TpmPasswords,
}

/// What the files hold.
struct DevId {
    /// DER, leaf first.
    certificates: Vec<Vec<u8>>,
    key: DevIdKey,
}

impl TpmDevIdAgent {
    /// Looks for the TPM and reads the files once, so that what cannot be used is told at the start.
    pub fn open(files: TpmDevIdFiles, passwords: TpmPasswords) -> Result<Self, AttestError> {
        let device = match &files.tpm_device_path {
            Some(path) => path.clone(),
            None => detect(Path::new(DEVICES))
                .map_err(|error| AttestError::internal(format!("tpm autodetection failed: {error}")))?,
        };
        let node = Node { files, device, passwords };
        node.read()?;
        Ok(Self { node: Arc::new(node), turn: Arc::default() })
    }

    async fn run(&self, channel: &mut dyn AgentChannel) -> Result<(), AttestError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let (say, mut said) = mpsc::channel(1);
        let (hear, heard) = mpsc::channel(1);
        let node = Arc::clone(&self.node);
        // A TPM takes its time. When the attestation is given up, this ends with the command that it is at.
        let work = tokio::task::spawn_blocking(move || {
            let conversed = node.converse(&say, heard);
            drop(turn);
            conversed
        });
        let Some(payload) = said.recv().await else { return end(work).await };
        let Some(challenge) = channel.send(payload).await? else {
            return Err(AttestError::internal("server accepted the DevID without a challenge"));
        };
        if hear.send(challenge).await.is_err() {
            return end(work).await;
        }
        let Some(response) = said.recv().await else { return end(work).await };
        match channel.send(response).await? {
            None => Ok(()),
            Some(_) => Err(AttestError::internal("server sent a second challenge")),
        }
    }
}

impl AgentNodeAttestor for TpmDevIdAgent {
    fn name(&self) -> &str {
        NAME
    }

    fn attest<'a>(&'a self, channel: &'a mut dyn AgentChannel) -> BoxFuture<'a, Result<(), AttestError>> {
        Box::pin(self.run(channel))
    }
}

/// Why the TPM has nothing more to say.
async fn end(work: JoinHandle<Result<(), AttestError>>) -> Result<(), AttestError> {
    let silent = || AttestError::internal("the TPM session ended early");
    work.await.unwrap_or_else(|_| Err(silent())).and_then(|()| Err(silent()))
}

impl Node {
    /// Blocks. Nobody listens any more when the attestation was given up.
    fn converse(&self, say: &mpsc::Sender<Vec<u8>>, mut heard: mpsc::Receiver<Vec<u8>>) -> Result<(), AttestError> {
        let DevId { certificates, key } = self.read()?;
        let mut session = Session::open(&self.device, &key, &self.passwords)?;
        let payload = payload(&mut session, certificates, key.public)?;
        if say.blocking_send(payload).is_err() {
            return Ok(());
        }
        let Some(challenge) = heard.blocking_recv() else { return Ok(()) };
        let response = answer(&mut session, &challenge)?;
        // The TPM is free before the server is asked.
        drop(session);
        let _ = say.blocking_send(response);
        Ok(())
    }

    fn read(&self) -> Result<DevId, AttestError> {
        let unusable = |what: &str, why: &dyn std::fmt::Display| {
            AttestError::internal(format!("unable to load DevID files: cannot load {what}: {why}"))
        };
        let read = |path: &Path, what: &str| {
            let content = std::fs::read(path);
            content.map_err(|error| unusable(what, &unreadable(path, &error)))
        };
        let what = "certificate(s)";
        let text = read(&self.files.devid_cert_path, what)?;
        let certificates = certificates(&text).map_err(|why| unusable(what, &why))?;
        let private = unsized_buffer(&read(&self.files.devid_priv_path, "private key")?).to_vec();
        let what = "public key";
        let public = unsized_buffer(&read(&self.files.devid_pub_path, what)?).to_vec();
        let area = PublicArea::decode(&public).map_err(|error| unusable(what, &error))?;
        check(&area, &certificates).map_err(|why| unusable(what, &why))?;
        Ok(DevId { certificates, key: DevIdKey { public, area, private } })
    }
}

fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let blocks = pem::parse_many(text).map_err(|error| error.to_string())?;
    let certificates: Vec<Vec<u8>> =
        blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE").map(pem::Pem::into_contents).collect();
    if certificates.is_empty() {
        return Err("no certificates found in file".to_owned());
    }
    Ok(certificates)
}

/// Tells here what the server would refuse.
fn check(area: &PublicArea, certificates: &[Vec<u8>]) -> Result<(), String> {
    if !area.attributes.contains(Attributes::SIGN) {
        return Err("not a signing key".to_owned());
    }
    let Some(Scheme { algorithm, hash }) = area.scheme() else {
        return Err("signature hash algorithm is NULL".to_owned());
    };
    if !matches!(algorithm, RSASSA | ECDSA) || hash != Hash::Sha256.id() {
        let scheme = format!("scheme 0x{algorithm:04x} and hash 0x{hash:04x}");
        return Err(format!("it signs with {scheme}: servers verify RSASSA and ECDSA with SHA-256"));
    }
    let lacking = area.attributes.lacking(Attributes::BOUND_TO_ITS_TPM);
    if lacking != Attributes::default() {
        return Err(format!("the key lacks the attributes {lacking}: have the TPM make one that never leaves it"));
    }
    let leaf = certificates.first().and_then(|leaf| parse(leaf)).ok_or("malformed DevID certificate")?;
    if keys::of_certificate(leaf.public_key()) != area.key().ok() {
        return Err("it is not the key of the DevID certificate".to_owned());
    }
    Ok(())
}

fn payload(
    session: &mut Session<'_>,
    certificates: Vec<Vec<u8>>,
    devid_public: Vec<u8>,
) -> Result<Vec<u8>, AttestError> {
    let endorsement_certificate = session.endorsement_certificate().map_err(|error| {
        let index = format!("failed to read NV index {ENDORSEMENT_CERTIFICATE:08x}");
        AttestError::internal(format!("unable to get endorsement certificate: {index}: {error}"))
    })?;
    let certification = session
        .certify_devid()
        .map_err(|error| AttestError::internal(format!("unable to certify DevID key: {error}")))?;
    let payload = Payload {
        devid_certificates: certificates.into_iter().map(Bytes).collect(),
        devid_public: Bytes(devid_public),
        endorsement_certificate: Bytes(endorsement_certificate),
        endorsement_public: Bytes(session.endorsement_public().to_vec()),
        attestation_public: Bytes(session.attestation_public().to_vec()),
        certified_devid: Bytes(certification.statement),
        certification_signature: Bytes(certification.signature),
    };
    serde_json::to_vec(&payload)
        .map_err(|error| AttestError::internal(format!("unable to marshal attestation data: {error}")))
}

fn answer(session: &mut Session<'_>, challenge: &[u8]) -> Result<Vec<u8>, AttestError> {
    let challenge: Challenge = json::read(challenge)
        .map_err(|error| AttestError::invalid(format!("unable to unmarshall challenges: {error}")))?;
    let devid = session.sign_with_devid(&challenge.devid.0).map_err(|error| {
        AttestError::internal(format!("unable to solve proof of possession challenge: failed to sign nonce: {error}"))
    })?;
    let activation = challenge
        .activation
        .ok_or_else(|| AttestError::internal("received empty credential activation challenge from server"))?;
    let activated = session.activate(&activation.credential.0, &activation.secret.0).map_err(|error| {
        let what = "unable to solve proof of residency challenge: failed to activate credential";
        AttestError::internal(format!("{what}: {error}"))
    })?;
    serde_json::to_vec(&Response { devid: Bytes(devid), activation: Bytes(activated) })
        .map_err(|error| AttestError::internal(format!("unable to marshal challenge response: {error}")))
}

const DEVICES: &str = "/dev";
