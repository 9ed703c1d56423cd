//! Proofs of possession of the sealing key, bound to one TLS connection and one message.

use aws_lc_rs::digest::{SHA256, digest};
use steeple_ca::seal::{ProofRole, SealError, SealingKey, prove, verify_proof};

/// Keying material of one connection (RFC 5705; TLS 1.3: RFC 8446, section 7.5).
#[derive(Clone, PartialEq, Eq)]
pub struct JoinProof {
    exporter: [u8; EXPORTER_BYTES],
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("TLS gives no keying material: {0}")]
    Exporter(String),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the other side does not hold this cluster's sealing key")]
    Wrong,
}

const EXPORTER_BYTES: usize = 32;
/// RFC 5705 reserves labels that begin so for private use.
const EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL steeple join v1";

impl JoinProof {
    /// From either end of a connection; the same on both.
    pub(super) fn of<Data>(connection: &rustls::ConnectionCommon<Data>) -> Result<Self, ProofError> {
        let exporter = connection.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, None);
        Ok(Self { exporter: exporter.map_err(|error| ProofError::Exporter(error.to_string()))? })
    }

    /// A proof over this connection and `message`.
    pub(crate) fn prove(&self, key: &SealingKey, role: ProofRole, message: &[u8]) -> Result<Vec<u8>, ProofError> {
        Ok(prove(key, role, &self.bound_to(message))?.to_vec())
    }

    pub(crate) fn verify(
        &self,
        key: &SealingKey,
        role: ProofRole,
        message: &[u8],
        proof: &[u8],
    ) -> Result<(), ProofError> {
        if verify_proof(key, role, &self.bound_to(message), proof)? { Ok(()) } else { Err(ProofError::Wrong) }
    }

    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        Self { exporter: [0; EXPORTER_BYTES] }
    }

    fn bound_to(&self, message: &[u8]) -> Vec<u8> {
        [self.exporter.as_slice(), digest(&SHA256, message).as_ref()].concat()
    }
}

impl std::fmt::Debug for JoinProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinProof(…)")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;

    use super::*;

    #[test]
    fn a_proof_holds_for_one_connection_one_message_and_one_role() {
        let key = SealingKey::generate(&SystemRandom::new()).expect("randomness");
        let here = JoinProof { exporter: [1; EXPORTER_BYTES] };
        let proof = here.prove(&key, ProofRole::Joiner, b"message").expect("a proof");
        assert_eq!(here.verify(&key, ProofRole::Joiner, b"message", &proof), Ok(()));

        let relayed = JoinProof { exporter: [2; EXPORTER_BYTES] };
        assert_eq!(relayed.verify(&key, ProofRole::Joiner, b"message", &proof), Err(ProofError::Wrong));
        assert_eq!(here.verify(&key, ProofRole::Joiner, b"changed", &proof), Err(ProofError::Wrong));
        assert_eq!(here.verify(&key, ProofRole::Member, b"message", &proof), Err(ProofError::Wrong));
        let other = SealingKey::generate(&SystemRandom::new()).expect("randomness");
        assert_eq!(here.verify(&other, ProofRole::Joiner, b"message", &proof), Err(ProofError::Wrong));
    }
}
