//! The server's half.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use steeple_core::plugin::{AttestError, AttestStatus, Attested, BoxFuture, ChallengeChannel, NodeAttestor};
use steeple_core::{Clock, Selector, SelectorSet, SpiffeId, TrustDomain};
use x509_parser::prelude::{GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::NAME;
use super::leaf::{general_names, serial_number_hex, svid_path_after, uri_san_selectors};
use super::proof::{NONCE_BYTES, verify_ecdsa, verify_rsa};
use super::wire::{Challenge, Nonce, Payload, Response};
use crate::agent_path::{AgentPathTemplate, agent_id};
use crate::certificate::{common_name, fingerprint, parse};
use crate::certificate_path;
use crate::json::{Bytes, from_json};

/// `plugin_data` of the server's block, checked.
#[derive(Clone)]
pub struct X509PopSettings {
    pub trust: Trust,
    pub agent_path: AgentPathTemplate,
    /// Certificates between leaf and root that a payload may carry.
    pub max_intermediates: usize,
    pub max_rsa_key_bits: usize,
    /// Compares the direct peer with the leaf's IP SANs.
    pub verify_client_ip: bool,
}

/// `mode`: who may vouch for a node.
#[derive(Clone)]
pub enum Trust {
    /// `external_pki`: these CA certificates, DER.
    ExternalPki(Vec<Vec<u8>>),
    /// `spiffe`: the trust domain itself. An X.509-SVID whose path begins with `prefix` is exchanged for an agent's.
    Spiffe { prefix: String, own_roots: OwnRoots },
}

/// The roots of the trust domain as they are now, DER.
pub type OwnRoots = Arc<dyn Fn() -> Vec<Vec<u8>> + Send + Sync>;

pub struct X509PopServer {
    trust_domain: TrustDomain,
    settings: X509PopSettings,
    clock: Arc<dyn Clock>,
}

impl X509PopSettings {
    /// SPIRE's limits (CVE-class fix of 1.14.2: certificate chains cost CPU before anything is proven).
    pub fn new(trust: Trust) -> Self {
        let agent_path = AgentPathTemplate::below_plugin_name(match trust {
            Trust::ExternalPki(_) => "Fingerprint",
            Trust::Spiffe { .. } => "SVIDPathTrimmed",
        });
        Self { trust, agent_path, max_intermediates: 4, max_rsa_key_bits: 8192, verify_client_ip: false }
    }

    /// Fields of `agent_path_template`. SPIRE has all of Go's x509.Certificate; these are those that make a path.
    pub const AGENT_PATH_FIELDS: &[&str] = &[
        "Fingerprint",
        "Issuer.CommonName",
        "PluginName",
        "SVIDPathTrimmed",
        "SerialNumberHex",
        "Subject.CommonName",
        "TrustDomain",
        "URISanSelectors.",
    ];
}

impl X509PopServer {
    pub fn new(trust_domain: TrustDomain, settings: X509PopSettings, clock: Arc<dyn Clock>) -> Self {
        Self { trust_domain, settings, clock }
    }

    async fn run(
        &self,
        payload: &[u8],
        peer: Option<IpAddr>,
        channel: &mut dyn ChallengeChannel,
    ) -> Result<Attested, AttestError> {
        let payload: Payload =
            from_json(payload).map_err(|error| AttestError::invalid(format!("failed to unmarshal data: {error}")))?;
        let (leaf_der, intermediates) = self.split(payload)?;
        let leaf = parse(&leaf_der)
            .ok_or_else(|| AttestError::invalid("unable to parse leaf certificate: x509: malformed certificate"))?;
        let roots = match &self.settings.trust {
            Trust::ExternalPki(roots) => roots.clone(),
            Trust::Spiffe { own_roots, .. } => own_roots(),
        };
        let chain = certificate_path::verify(&leaf_der, &intermediates, &roots, self.clock.now()).map_err(|error| {
            AttestError::denied(format!("certificate verification failed: {}", certificate_path::in_go_words(&error)))
        })?;
        if self.settings.verify_client_ip {
            check_client_ip(&leaf, peer)?;
        }
        prove(&leaf, channel).await?;
        let agent_id = self.agent_id(&leaf, &leaf_der)?;
        let selectors = selectors(&leaf, &chain, self.trust_domain.name());
        Ok(Attested { agent_id, selectors, can_reattest: true })
    }

    fn agent_id(&self, leaf: &X509Certificate<'_>, leaf_der: &[u8]) -> Result<SpiffeId, AttestError> {
        let svid_path = match &self.settings.trust {
            Trust::ExternalPki(_) => String::new(),
            Trust::Spiffe { prefix, .. } => svid_path_after(leaf, prefix)?.to_owned(),
        };
        let sans = uri_san_selectors(leaf, self.trust_domain.name());
        let value = |field: &str| match field {
            "Fingerprint" => Some(fingerprint(leaf_der)),
            "Issuer.CommonName" => common_name(leaf.issuer()),
            "PluginName" => Some(NAME.to_owned()),
            "SVIDPathTrimmed" => Some(svid_path.clone()),
            "SerialNumberHex" => Some(serial_number_hex(leaf)),
            "Subject.CommonName" => common_name(leaf.subject()),
            "TrustDomain" => Some(self.trust_domain.name().to_owned()),
            _ => sans.get(field.strip_prefix("URISanSelectors.")?).cloned(),
        };
        let failed =
            |error: &dyn std::fmt::Display| AttestError::internal(format!("failed to make spiffe id: {error}"));
        let path = self.settings.agent_path.render(value).map_err(|error| failed(&error))?;
        agent_id(&self.trust_domain, &path).map_err(|error| failed(&error))
    }

    fn split(&self, payload: Payload) -> Result<(Vec<u8>, Vec<Vec<u8>>), AttestError> {
        let mut certificates = payload.certificates.into_iter().map(|Bytes(der)| der);
        let leaf = certificates.next().ok_or_else(|| AttestError::invalid("no certificate to attest"))?;
        if certificates.len() > self.settings.max_intermediates {
            return Err(AttestError::invalid("too many intermediate certificates"));
        }
        if parse(&leaf).is_some_and(|leaf| self.key_too_large(&leaf)) {
            return Err(AttestError::invalid("leaf certificate key size too large"));
        }
        let intermediates: Vec<Vec<u8>> = certificates.collect();
        for (index, der) in intermediates.iter().enumerate() {
            let certificate = parse(der).ok_or_else(|| {
                AttestError::invalid(format!(
                    "unable to parse intermediate certificate {index}: x509: malformed certificate"
                ))
            })?;
            if self.key_too_large(&certificate) {
                return Err(AttestError::invalid(format!("intermediate certificate {index} key size too large")));
            }
        }
        Ok((leaf, intermediates))
    }

    fn key_too_large(&self, certificate: &X509Certificate<'_>) -> bool {
        match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => key.key_size() > self.settings.max_rsa_key_bits,
            _ => false,
        }
    }
}

impl NodeAttestor for X509PopServer {
    fn name(&self) -> &str {
        NAME
    }

    fn attest<'a>(
        &'a self,
        payload: &'a [u8],
        peer: Option<IpAddr>,
        channel: &'a mut dyn ChallengeChannel,
    ) -> BoxFuture<'a, Result<Attested, AttestError>> {
        Box::pin(self.run(payload, peer, channel))
    }
}

/// Sends the challenge that fits the key and checks the answer.
async fn prove(leaf: &X509Certificate<'_>, channel: &mut dyn ChallengeChannel) -> Result<(), AttestError> {
    let failed = |why: &str| AttestError::internal(format!("unable to generate challenge: {why}"));
    let usage = leaf.key_usage().map_err(|_| failed("malformed key usage"))?;
    if !usage.is_some_and(|usage| usage.value.digital_signature()) {
        return Err(failed("certificate not intended for digital signature use"));
    }
    let mut nonce = [0; NONCE_BYTES];
    SystemRandom::new().fill(&mut nonce).map_err(|_| failed("no random bytes"))?;
    let member = Some(Nonce { nonce: Bytes(nonce.to_vec()) });
    let challenge = match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(_)) => Challenge { rsa_signature: member, ecdsa_signature: None },
        Ok(PublicKey::EC(_)) => Challenge { rsa_signature: None, ecdsa_signature: member },
        _ => return Err(failed("unsupported public key type")),
    };
    let message = serde_json::to_vec(&challenge)
        .map_err(|error| AttestError::internal(format!("unable to marshal challenge: {error}")))?;
    let response = channel.challenge(message).await?;
    let response: Response = from_json(&response)
        .map_err(|error| AttestError::invalid(format!("unable to unmarshal challenge response: {error}")))?;

    let refused = |why: String| AttestError::denied(format!("challenge response verification failed: {why}"));
    match (challenge.rsa_signature.is_some(), &response.rsa_signature, &response.ecdsa_signature) {
        (true, None, _) => Err(refused("expecting RSA response".into())),
        (true, Some(proof), _) => {
            verify_rsa(leaf.public_key(), &nonce, proof).map_err(|error| refused(error.to_string()))
        }
        (false, _, None) => Err(refused("expecting ECDSA response".into())),
        (false, _, Some(proof)) => {
            verify_ecdsa(leaf.public_key(), &nonce, proof).map_err(|error| refused(error.to_string()))
        }
    }
}

fn check_client_ip(leaf: &X509Certificate<'_>, peer: Option<IpAddr>) -> Result<(), AttestError> {
    let peer = peer.ok_or_else(|| AttestError::internal("client IP not available for verification"))?.to_canonical();
    let matches = general_names(leaf).any(|name| match name {
        GeneralName::IPAddress(octets) => match (octets.len(), peer) {
            (4, IpAddr::V4(ip)) => *octets == ip.octets(),
            (16, IpAddr::V6(ip)) => *octets == ip.octets(),
            _ => false,
        },
        _ => false,
    });
    if matches {
        return Ok(());
    }
    let message = format!("client IP {peer} does not match any certificate IP SAN");
    Err(AttestError::new(AttestStatus::PermissionDenied, message))
}

/// `subject:cn:`, `ca:fingerprint:` of each certificate but the leaf, `serialnumber:`, `san:` (SPIRE's x509pop page).
fn selectors(leaf: &X509Certificate<'_>, chain: &[Vec<u8>], trust_domain: &str) -> SelectorSet {
    let mut values = BTreeSet::new();
    if let Some(cn) = common_name(leaf.subject()).filter(|cn| !cn.is_empty()) {
        values.insert(format!("subject:cn:{cn}"));
    }
    for certificate in chain {
        values.insert(format!("ca:fingerprint:{}", fingerprint(certificate)));
    }
    values.insert(format!("serialnumber:{}", serial_number_hex(leaf)));
    for (key, value) in uri_san_selectors(leaf, trust_domain) {
        values.insert(format!("san:{key}:{value}"));
    }
    values.into_iter().filter_map(|value| Selector::new(NAME, value).ok()).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
