//! The server's half.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use steeple_core::plugin::{AttestError, Attested, BoxFuture, ChallengeChannel, NodeAttestor};
use steeple_core::{Clock, SelectorSet, SpiffeId, TrustDomain};

use super::NAME;
use super::authorities::Authorities;
use super::certificate::Certificate;
use super::wire::{Challenge, NONCE_BYTES, Payload, Response, combine};
use crate::agent_path::{AgentPathTemplate, agent_id};
use crate::json::{self, Bytes};

/// `plugin_data` of the server's block, checked.
#[derive(Clone)]
pub struct SshPopSettings {
    pub authorities: Authorities,
    /// What host names must end with, without the dot before it; empty: any will do.
    pub canonical_domain: String,
    pub agent_path: AgentPathTemplate,
}

pub struct SshPopServer {
    trust_domain: TrustDomain,
    settings: SshPopSettings,
    clock: Arc<dyn Clock>,
}

impl SshPopSettings {
    pub fn new(authorities: Authorities) -> Self {
        let agent_path = AgentPathTemplate::below_plugin_name("Fingerprint");
        Self { authorities, canonical_domain: String::new(), agent_path }
    }

    /// Fields of `agent_path_template`. `index .ValidPrincipals 0` is the name of the host.
    pub const AGENT_PATH_FIELDS: &[&str] =
        &["Fingerprint", "Hostname", "KeyId", "PluginName", "Serial", "ValidPrincipals."];
}

impl SshPopServer {
    pub fn new(trust_domain: TrustDomain, settings: SshPopSettings, clock: Arc<dyn Clock>) -> Self {
        Self { trust_domain, settings, clock }
    }

    /// Every refusal is `Internal` (SPIRE behaviour).
    async fn run(&self, payload: &[u8], channel: &mut dyn ChallengeChannel) -> Result<Attested, AttestError> {
        let payload: Payload =
            json::read(payload).map_err(|error| AttestError::internal(format!("failed to unmarshal data: {error}")))?;
        let blob = payload.certificate.0;
        if blob.is_empty() {
            return Err(AttestError::internal("no certificate in response"));
        }
        let certificate = Certificate::parse(&blob).map_err(|error| AttestError::internal(error.to_string()))?;
        let principal = certificate.principals.first();
        let principal = principal.ok_or_else(|| AttestError::internal("cert has no valid principals"))?;
        certificate
            .check(&self.settings.authorities, self.clock.now())
            .map_err(|error| AttestError::internal(format!("failed to check host key: {error}")))?;
        let host = self.host_name(principal)?;
        prove(&certificate, channel).await?;
        let agent_id = self.agent_id(&certificate, &blob, host)?;
        Ok(Attested { agent_id, selectors: SelectorSet::default(), can_reattest: true })
    }

    fn host_name<'a>(&self, principal: &'a str) -> Result<&'a str, AttestError> {
        let domain = &self.settings.canonical_domain;
        if domain.is_empty() {
            return Ok(principal);
        }
        let suffix = format!(".{domain}");
        principal.strip_suffix(suffix.as_str()).ok_or_else(|| {
            let why = format!("cert principal is not in domain {suffix:?}");
            AttestError::internal(format!("failed to decanonicalize hostname: {why}"))
        })
    }

    fn agent_id(&self, certificate: &Certificate, blob: &[u8], host: &str) -> Result<SpiffeId, AttestError> {
        let value = |field: &str| match field {
            "Fingerprint" => Some(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, blob))),
            "Hostname" => Some(host.to_owned()),
            "KeyId" => Some(certificate.key_id.clone()),
            "PluginName" => Some(NAME.to_owned()),
            "Serial" => Some(certificate.serial.to_string()),
            _ => {
                let place: usize = field.strip_prefix("ValidPrincipals.")?.parse().ok()?;
                certificate.principals.get(place).cloned()
            }
        };
        let failed =
            |error: &dyn std::fmt::Display| AttestError::internal(format!("failed to create AgentID: {error}"));
        let path = self.settings.agent_path.render(value).map_err(|error| failed(&error))?;
        agent_id(&self.trust_domain, &path).map_err(|error| failed(&error))
    }
}

impl NodeAttestor for SshPopServer {
    fn name(&self) -> &str {
        NAME
    }

    fn attest<'a>(
        &'a self,
        payload: &'a [u8],
        _: Option<IpAddr>,
        channel: &'a mut dyn ChallengeChannel,
    ) -> BoxFuture<'a, Result<Attested, AttestError>> {
        Box::pin(self.run(payload, channel))
    }
}

/// Sends a nonce and checks what the host's key signed.
async fn prove(certificate: &Certificate, channel: &mut dyn ChallengeChannel) -> Result<(), AttestError> {
    let mut nonce = vec![0; NONCE_BYTES];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| AttestError::internal("failed to generate nonce: no random bytes"))?;
    let challenge = Challenge { nonce: Bytes(nonce) };
    let message = serde_json::to_vec(&challenge)
        .map_err(|error| AttestError::internal(format!("failed to marshal challenge request: {error}")))?;
    let response = channel.challenge(message).await?;
    let response: Response = json::read(&response)
        .map_err(|error| AttestError::internal(format!("failed to unmarshal challenge response: {error}")))?;
    let signed = combine(&challenge.nonce.0, &response.nonce.0)
        .map_err(|error| AttestError::internal(format!("failed to combine nonces: {error}")))?;
    let refused = |why: &str| AttestError::internal(format!("failed to verify signature: {why}"));
    let signature = response.signature.ok_or_else(|| refused("there is none"))?;
    certificate.key.verify(&signed, &signature).map_err(|error| refused(&error.to_string()))
}
