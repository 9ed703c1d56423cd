//! The server's half.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use steeple_core::plugin::{AttestError, Attested, BoxFuture, ChallengeChannel, NodeAttestor};
use steeple_core::{Clock, Selector, SelectorSet, TrustDomain};
use x509_parser::prelude::X509Certificate;

use super::nonce::random;
use super::wire::{Challenge, Payload, Response};
use super::{NAME, evidence, keys};
use crate::agent_path::agent_id;
use crate::certificate::{common_name, fingerprint, parse};
use crate::certificate_path;
use crate::json::{self, Bytes};

/// `plugin_data` of the server's block, checked: CA certificates, DER.
#[derive(Clone)]
pub struct TpmDevIdSettings {
    devid_roots: Vec<Vec<u8>>,
    endorsement_roots: Vec<Vec<u8>>,
}

/// A certificate by which none can be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("certificate {number} cannot be a root: {why}")]
pub struct UnusableRoot {
    /// From 1.
    pub number: usize,
    pub why: String,
}

pub struct TpmDevIdServer {
    trust_domain: TrustDomain,
    settings: TpmDevIdSettings,
    clock: Arc<dyn Clock>,
}

impl TpmDevIdSettings {
    /// Who may vouch for devices, and who for TPMs. Each list has been through [`Self::check_roots`].
    pub fn new(devid_roots: Vec<Vec<u8>>, endorsement_roots: Vec<Vec<u8>>) -> Self {
        Self { devid_roots, endorsement_roots }
    }

    pub fn check_roots(roots: &[Vec<u8>]) -> Result<(), UnusableRoot> {
        for (place, root) in roots.iter().enumerate() {
            certificate_path::check_root(root).map_err(|why| UnusableRoot { number: place + 1, why })?;
        }
        Ok(())
    }
}

impl TpmDevIdServer {
    pub fn new(trust_domain: TrustDomain, settings: TpmDevIdSettings, clock: Arc<dyn Clock>) -> Self {
        Self { trust_domain, settings, clock }
    }

    async fn run(&self, payload: &[u8], channel: &mut dyn ChallengeChannel) -> Result<Attested, AttestError> {
        let payload: Payload = json::read(payload)
            .map_err(|error| AttestError::invalid(format!("unable to unmarshall attestation data: {error}")))?;
        let (der, intermediates) = split(&payload)?;
        let devid = parse(der)
            .ok_or_else(|| AttestError::invalid("unable to parse DevID certificate: x509: malformed certificate"))?;
        let now = self.clock.now();
        let chain =
            certificate_path::verify(der, &intermediates, &self.settings.devid_roots, now).map_err(|error| {
                let why = certificate_path::in_go_words(&error);
                AttestError::invalid(format!("unable to verify DevID signature: verification failed: {why}"))
            })?;
        let residency = evidence::examine(&payload, &devid, &self.settings.endorsement_roots, now)?;

        let nonce = random(NONCE_BYTES)
            .ok_or_else(|| AttestError::internal("unable to generate challenge: no random bytes"))?;
        let challenge = Challenge { devid: Bytes(nonce), activation: Some(residency.activation) };
        let message = serde_json::to_vec(&challenge)
            .map_err(|error| AttestError::internal(format!("unable to marshal challenges data: {error}")))?;
        let response = channel.challenge(message).await?;
        let response: Response = json::read(&response)
            .map_err(|error| AttestError::invalid(format!("unable to unmarshall challenges response: {error}")))?;
        keys::verify(devid.public_key(), &challenge.devid.0, &response.devid.0)
            .map_err(|error| AttestError::invalid(format!("devID challenge verification failed: {error}")))?;
        verify_slices_are_equal(&residency.expected, &response.activation.0)
            .map_err(|_| AttestError::invalid("credential activation failed: nonces are different"))?;

        let path = format!("/{NAME}/{}", fingerprint(der));
        let agent_id = agent_id(&self.trust_domain, &path)
            .map_err(|error| AttestError::internal(format!("failed to create agent ID: {error}")))?;
        Ok(Attested { agent_id, selectors: selectors(&devid, &chain), can_reattest: true })
    }
}

impl NodeAttestor for TpmDevIdServer {
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

fn split(payload: &Payload) -> Result<(&[u8], Vec<Vec<u8>>), AttestError> {
    let (leaf, intermediates) = payload
        .devid_certificates
        .split_first()
        .ok_or_else(|| AttestError::invalid("no DevID certificate to attest"))?;
    if intermediates.len() > INTERMEDIATES_MAX {
        return Err(AttestError::invalid(format!("more than {INTERMEDIATES_MAX} DevID intermediate certificates")));
    }
    for (place, intermediate) in intermediates.iter().enumerate() {
        if parse(&intermediate.0).is_none() {
            let why = "x509: malformed certificate";
            let message = format!("unable to parse DevID intermediate certificate {place}: {why}");
            return Err(AttestError::invalid(message));
        }
    }
    Ok((&leaf.0, intermediates.iter().map(|certificate| certificate.0.clone()).collect()))
}

/// `subject:cn:`, `issuer:cn:`, and `ca:fingerprint:` of each certificate but the leaf.
fn selectors(devid: &X509Certificate<'_>, chain: &[Vec<u8>]) -> SelectorSet {
    let named = |what: &str, name| {
        let name: Option<String> = common_name(name).filter(|name| !name.is_empty());
        name.map(|name| format!("{what}:cn:{name}"))
    };
    let names = [named("subject", devid.subject()), named("issuer", devid.issuer())];
    let authorities = chain.iter().map(|der| format!("ca:fingerprint:{}", fingerprint(der)));
    names.into_iter().flatten().chain(authorities).filter_map(|value| Selector::new(NAME, value).ok()).collect()
}

const NONCE_BYTES: usize = 32;
/// Chains cost CPU before anything is proven.
const INTERMEDIATES_MAX: usize = 8;
