//! What a payload says of the TPM, checked, and the credential that is left to be activated.

use steeple_core::Timestamp;
use steeple_core::plugin::AttestError;
use steeple_tpm::{Hash, PublicArea, PublicKey, make_credential, verify_certification};
use x509_parser::prelude::X509Certificate;
use zeroize::Zeroizing;

use super::keys;
use super::nonce::random;
use super::wire::{Activation, Payload};
use crate::certificate::parse;
use crate::certificate_path;
use crate::json::Bytes;

/// What only the right TPM can turn into `expected`.
pub(super) struct Residency {
    pub(super) activation: Activation,
    pub(super) expected: Zeroizing<Vec<u8>>,
}

/// Checks all that can be checked without asking: that the endorsement key is a known manufacturer's, and that the
/// attestation key vouches for the key of `devid`. Whether the attestation key is where the endorsement key is, the
/// credential will tell. The order is SPIRE's.
pub(super) fn examine(
    payload: &Payload,
    devid: &X509Certificate<'_>,
    endorsement_roots: &[Vec<u8>],
    now: Timestamp,
) -> Result<Residency, AttestError> {
    is_complete(payload)?;
    let invalid = |what: &str, why: &dyn std::fmt::Display| AttestError::invalid(format!("{what}: {why}"));
    let certificate = parse(&payload.endorsement_certificate.0)
        .ok_or_else(|| invalid("cannot parse endorsement certificate", &"x509: malformed certificate"))?;
    let area = |bytes: &Bytes, what: &str| {
        let what = format!("cannot decode {what} key public blob");
        PublicArea::decode(&bytes.0).map_err(|error| invalid(&what, &error))
    };
    let devid_key = area(&payload.devid_public, "DevID")?;
    let attestation_key = area(&payload.attestation_public, "attestation")?;
    let endorsement_key = area(&payload.endorsement_public, "endorsement")?;

    are_the_same(&certificate, &endorsement_key)
        .map_err(|why| invalid("public key in EK certificate differs from public key created via EK template", &why))?;
    certificate_path::verify(&payload.endorsement_certificate.0, &[], endorsement_roots, now).map_err(|error| {
        let why = certificate_path::in_go_words(&error);
        invalid("cannot verify EK signature: endorsement certificate verification failed", &why)
    })?;
    let (statement, signature) = (&payload.certified_devid.0, &payload.certification_signature.0);
    verify_certification(&attestation_key, &devid_key, statement, signature)
        .map_err(|error| invalid("cannot verify that DevID is in the same TPM than AK", &error))?;
    // Or the certificate's key could be anywhere.
    if keys::of_certificate(devid.public_key()) != devid_key.key().ok() {
        return Err(AttestError::invalid("DevID key public blob differs from the public key in the DevID certificate"));
    }
    challenge(&endorsement_key, &attestation_key)
        .map_err(|why| AttestError::internal(format!("cannot generate credential activation challenge: {why}")))
}

fn challenge(endorsement_key: &PublicArea, attestation_key: &PublicArea) -> Result<Residency, String> {
    let name = attestation_key.name().map_err(|error| format!("cannot extract name from AK public: {error}"))?;
    let hash = Hash::of(endorsement_key.name_algorithm);
    let hash = hash.ok_or_else(|| format!("unsupported hash algorithm 0x{:04x}", endorsement_key.name_algorithm))?;
    let expected = Zeroizing::new(random(hash.bytes()).ok_or("no random bytes")?);
    let made = make_credential(endorsement_key, &name, &expected).map_err(|error| error.to_string())?;
    Ok(Residency { activation: Activation { credential: Bytes(made.blob), secret: Bytes(made.secret) }, expected })
}

fn is_complete(payload: &Payload) -> Result<(), AttestError> {
    for (blob, what) in [
        (&payload.attestation_public, "attestation key public blob"),
        (&payload.devid_public, "DevID key public blob"),
        (&payload.endorsement_certificate, "endorsement certificate"),
        (&payload.endorsement_public, "endorsement key public blob"),
    ] {
        if blob.0.is_empty() {
            return Err(AttestError::invalid(format!("missing {what}")));
        }
    }
    Ok(())
}

fn are_the_same(certificate: &X509Certificate<'_>, area: &PublicArea) -> Result<(), &'static str> {
    let Some(PublicKey::Rsa { n, e }) = keys::of_certificate(certificate.public_key()) else {
        return Err("key from certificate is not an RSA key");
    };
    match area.key() {
        Ok(PublicKey::Rsa { e: other, .. }) if other != e => Err("exponent mismatch"),
        Ok(PublicKey::Rsa { n: other, .. }) if other != n => Err("modulus mismatch"),
        Ok(PublicKey::Rsa { .. }) => Ok(()),
        _ => Err("key from template is not an RSA key"),
    }
}
