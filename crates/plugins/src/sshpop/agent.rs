//! The agent's half. Files are read at each attestation, so a renewed certificate is picked up.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use steeple_core::plugin::{AgentChannel, AgentNodeAttestor, AttestError, BoxFuture};
use steeple_core::unreadable;
use zeroize::Zeroizing;

use super::NAME;
use super::certificate::Certificate;
use super::host_key::HostKey;
use super::wire::{Challenge, NONCE_BYTES, Payload, Response, combine};
use crate::json::{self, Bytes};

/// `plugin_data` of the agent's block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshPopFiles {
    pub host_key_path: PathBuf,
    pub host_cert_path: PathBuf,
}

pub struct SshPopAgent {
    files: SshPopFiles,
}

impl Default for SshPopFiles {
    /// Where sshd has them.
    fn default() -> Self {
        Self {
            host_key_path: "/etc/ssh/ssh_host_rsa_key".into(),
            host_cert_path: "/etc/ssh/ssh_host_rsa_key-cert.pub".into(),
        }
    }
}

impl SshPopAgent {
    /// Reads the files once, so that those that cannot be used are told at the start.
    pub fn open(files: SshPopFiles) -> Result<Self, AttestError> {
        let agent = Self { files };
        agent.load()?;
        Ok(agent)
    }

    async fn run(&self, channel: &mut dyn AgentChannel) -> Result<(), AttestError> {
        let (certificate, key) = self.load()?;
        let payload = serde_json::to_vec(&Payload { certificate: Bytes(certificate) })
            .map_err(|error| AttestError::internal(format!("failed to marshal attestation data: {error}")))?;
        let Some(challenge) = channel.send(payload).await? else {
            return Err(AttestError::internal("server accepted the certificate without a challenge"));
        };
        match channel.send(answer(&key, &challenge)?).await? {
            None => Ok(()),
            Some(_) => Err(AttestError::internal("server sent a second challenge")),
        }
    }

    /// The certificate in the SSH wire format, and its key.
    fn load(&self) -> Result<(Vec<u8>, HostKey), AttestError> {
        let key = Zeroizing::new(read(&self.files.host_key_path, "host key")?);
        let text = read(&self.files.host_cert_path, "host cert")?;
        let unusable = |why: &str| AttestError::invalid(format!("failed to get cert and signer from pem: {why}"));
        let key = HostKey::parse(&key).map_err(|error| unusable(&error.to_string()))?;
        let blob = blob(&text).ok_or_else(|| unusable("ssh: no key found"))?;
        let certificate = Certificate::parse(&blob).map_err(|error| unusable(&error.to_string()))?;
        if !key.belongs_to(&certificate.key) {
            return Err(unusable("the host key is not the key of the host certificate"));
        }
        Ok((blob, key))
    }
}

impl AgentNodeAttestor for SshPopAgent {
    fn name(&self) -> &str {
        NAME
    }

    fn attest<'a>(&'a self, channel: &'a mut dyn AgentChannel) -> BoxFuture<'a, Result<(), AttestError>> {
        Box::pin(self.run(channel))
    }
}

fn answer(key: &HostKey, challenge: &[u8]) -> Result<Vec<u8>, AttestError> {
    let challenge: Challenge = json::read(challenge)
        .map_err(|error| AttestError::internal(format!("failed to unmarshal challenge request: {error}")))?;
    let mut nonce = vec![0; NONCE_BYTES];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| AttestError::internal("failed to generate nonce: no random bytes"))?;
    let message = combine(&challenge.nonce.0, &nonce)
        .map_err(|error| AttestError::internal(format!("failed to combine nonces: {error}")))?;
    let signature =
        key.sign(&message).map_err(|error| AttestError::internal(format!("failed to sign data: {error}")))?;
    serde_json::to_vec(&Response { nonce: Bytes(nonce), signature: Some(signature) })
        .map_err(|error| AttestError::internal(format!("failed to marshal response: {error}")))
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, AttestError> {
    std::fs::read(path)
        .map_err(|error| AttestError::invalid(format!("failed to read {what} file: {}", unreadable(path, &error))))
}

/// The second field of a `.pub` file.
fn blob(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(std::str::from_utf8(text).ok()?.split_ascii_whitespace().nth(1)?).ok()
}
