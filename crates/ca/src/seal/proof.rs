//! Proof that the other end of a TLS connection holds the same sealing key, without showing it.
//!
//! Both ends take keying material from the connection (RFC 5705, RFC 8446 section 7.5) and send an HMAC over it. The
//! material differs for every connection, so a proof can be neither replayed nor relayed; the role keeps an end from
//! being answered with its own proof.

use aws_lc_rs::hmac;

use super::sealing_key::Purpose;
use super::{SealError, SealingKey};

/// Which end proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofRole {
    /// The server that wants to join.
    Joiner,
    /// The member of the cluster that is asked.
    Member,
}

/// HMAC-SHA-256 over the role and the connection's exported keying material.
pub fn prove(key: &SealingKey, role: ProofRole, exporter: &[u8]) -> Result<[u8; PROOF_BYTES], SealError> {
    let tag = hmac::sign(&proof_key(key)?, &message(role, exporter));
    let mut proof = [0; PROOF_BYTES];
    proof.copy_from_slice(tag.as_ref());
    Ok(proof)
}

/// In constant time. Errs only when the library does.
pub fn verify_proof(key: &SealingKey, role: ProofRole, exporter: &[u8], proof: &[u8]) -> Result<bool, SealError> {
    Ok(hmac::verify(&proof_key(key)?, &message(role, exporter), proof).is_ok())
}

fn proof_key(key: &SealingKey) -> Result<hmac::Key, SealError> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key.derive(Purpose::Proof)?.expose()))
}

fn message(role: ProofRole, exporter: &[u8]) -> Vec<u8> {
    let label: &[u8] = match role {
        ProofRole::Joiner => b"steeple join, joiner\0",
        ProofRole::Member => b"steeple join, member\0",
    };
    [label, exporter].concat()
}

pub const PROOF_BYTES: usize = 32;
