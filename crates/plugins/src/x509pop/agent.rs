//! The agent's half. Files are read at each attestation, so a renewed certificate is picked up.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use steeple_core::plugin::{AgentChannel, AgentNodeAttestor, AttestError, BoxFuture};
use steeple_core::{Secret, unreadable};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::NAME;
use super::proof::{NONCE_BYTES, ProofKey};
use super::wire::{Challenge, Payload, Response};
use crate::json::{Bytes, from_json};

/// `plugin_data` of the agent's block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509PopFiles {
    pub private_key_path: PathBuf,
    pub certificate_path: PathBuf,
    pub intermediates_path: Option<PathBuf>,
}

pub struct X509PopAgent {
    source: Source,
}

enum Source {
    Files(X509PopFiles),
    Held { certificates: Vec<Vec<u8>>, key: ProofKey },
}

impl X509PopAgent {
    pub fn new(files: X509PopFiles) -> Self {
        Self { source: Source::Files(files) }
    }

    /// For many simulated nodes in one process: certificates in DER, leaf first, and the leaf's key, from memory.
    pub fn holding(certificates: Vec<Vec<u8>>, key: &Secret) -> Result<Self, AttestError> {
        let key = ProofKey::from_der(key).ok_or_else(|| unusable("no supported private key"))?;
        check_pair(&certificates, &key)?;
        Ok(Self { source: Source::Held { certificates, key } })
    }

    async fn run(&self, channel: &mut dyn AgentChannel) -> Result<(), AttestError> {
        match &self.source {
            Source::Files(files) => {
                let (certificates, key) = load(files)?;
                prove(&certificates, &key, channel).await
            }
            Source::Held { certificates, key } => prove(certificates, key, channel).await,
        }
    }
}

impl AgentNodeAttestor for X509PopAgent {
    fn name(&self) -> &str {
        NAME
    }

    fn attest<'a>(&'a self, channel: &'a mut dyn AgentChannel) -> BoxFuture<'a, Result<(), AttestError>> {
        Box::pin(self.run(channel))
    }
}

async fn prove(certificates: &[Vec<u8>], key: &ProofKey, channel: &mut dyn AgentChannel) -> Result<(), AttestError> {
    let payload = Payload { certificates: certificates.iter().cloned().map(Bytes).collect() };
    let payload = serde_json::to_vec(&payload)
        .map_err(|error| AttestError::internal(format!("unable to marshal attestation data: {error}")))?;
    let Some(challenge) = channel.send(payload).await? else {
        return Err(AttestError::internal("server accepted the certificate without a challenge"));
    };
    let response = answer(key, &challenge)?;
    match channel.send(response).await? {
        None => Ok(()),
        Some(_) => Err(AttestError::internal("server sent a second challenge")),
    }
}

fn load(files: &X509PopFiles) -> Result<(Vec<Vec<u8>>, ProofKey), AttestError> {
    let mut certificates = certificates(&files.certificate_path, "unable to load keypair")?;
    let key = private_key(&files.private_key_path)?;
    check_pair(&certificates, &key)?;
    if let Some(path) = &files.intermediates_path {
        certificates.extend(self::certificates(path, "unable to load intermediate certificates")?);
    }
    Ok((certificates, key))
}

fn check_pair(certificates: &[Vec<u8>], key: &ProofKey) -> Result<(), AttestError> {
    let leaf = certificates.first().ok_or_else(|| unusable("no certificate found"))?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| unusable("malformed certificate"))?;
    if *leaf.public_key().subject_public_key.data != key.public_bytes() {
        return Err(unusable("private key does not match the certificate"));
    }
    Ok(())
}

fn unusable(why: &str) -> AttestError {
    AttestError::invalid(format!("unable to load keypair: {why}"))
}

fn answer(key: &ProofKey, challenge: &[u8]) -> Result<Vec<u8>, AttestError> {
    let challenge: Challenge = from_json(challenge)
        .map_err(|error| AttestError::internal(format!("unable to unmarshal challenge: {error}")))?;
    let failed = |why: String| AttestError::internal(format!("failed to calculate challenge response: {why}"));
    let mut nonce = [0; NONCE_BYTES];
    SystemRandom::new().fill(&mut nonce).map_err(|_| failed("no random bytes".into()))?;
    let response = if key.is_rsa() {
        let challenge = challenge.rsa_signature.ok_or_else(|| failed("expecting RSA challenge".into()))?;
        let proof = key.prove_rsa(&challenge.nonce.0, &nonce).map_err(|error| failed(error.to_string()))?;
        Response { rsa_signature: Some(proof), ecdsa_signature: None }
    } else {
        let challenge = challenge.ecdsa_signature.ok_or_else(|| failed("expecting ECDSA challenge".into()))?;
        let proof = key.prove_ecdsa(&challenge.nonce.0, &nonce).map_err(|error| failed(error.to_string()))?;
        Response { rsa_signature: None, ecdsa_signature: Some(proof) }
    };
    serde_json::to_vec(&response)
        .map_err(|error| AttestError::internal(format!("unable to marshal challenge response: {error}")))
}

fn certificates(path: &Path, what: &str) -> Result<Vec<Vec<u8>>, AttestError> {
    let blocks = read_pem(path, what)?;
    Ok(blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE").map(pem::Pem::into_contents).collect())
}

fn private_key(path: &Path) -> Result<ProofKey, AttestError> {
    let what = "unable to load keypair";
    let block = read_pem(path, what)?.into_iter().find(|block| block.tag().ends_with("PRIVATE KEY"));
    let der = Secret::new(block.map(pem::Pem::into_contents).unwrap_or_default());
    ProofKey::from_der(&der)
        .ok_or_else(|| AttestError::invalid(format!("{what}: {} holds no supported private key", path.display())))
}

fn read_pem(path: &Path, what: &str) -> Result<Vec<pem::Pem>, AttestError> {
    let text = std::fs::read(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| AttestError::invalid(format!("{what}: {}", unreadable(path, &error))))?;
    pem::parse_many(text.as_slice())
        .map_err(|error| AttestError::invalid(format!("{what}: {}: {error}", path.display())))
}
