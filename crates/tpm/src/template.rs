//! The keys that an attestation makes (TCG EK Credential Profile for TPM 2.0, annex B; these are SPIRE's choices).

use crate::algorithm::{AES, CFB, Curve, Hash, RSASSA};
use crate::{Attributes, Parameters, PublicArea, Scheme, Symmetric};

/// Template L-1: the key that the manufacturer's certificate in NV index 0x01c00002 is about.
pub fn endorsement_key() -> PublicArea {
    let attributes =
        Attributes::BOUND_TO_ITS_TPM | Attributes::ADMIN_WITH_POLICY | Attributes::RESTRICTED | Attributes::DECRYPT;
    // The low range has a unique field of zeros.
    area(attributes, &ENDORSEMENT_POLICY, parent_rsa(vec![0; RSA_BITS as usize / 8]))
}

/// Template H-1, for RSA keys and for the attestation key.
pub fn storage_root_key_rsa() -> PublicArea {
    area(STORAGE, &[], parent_rsa(Vec::new()))
}

/// Template H-2, for ECC keys.
pub fn storage_root_key_ecc() -> PublicArea {
    let parameters = Parameters::Ecc {
        symmetric: Some(AES_128_CFB),
        scheme: None,
        curve: Curve::P256.id(),
        kdf: None,
        x: Vec::new(),
        y: Vec::new(),
    };
    area(STORAGE, &[], parameters)
}

/// A key that signs nothing but what the TPM states.
pub fn attestation_key() -> PublicArea {
    let attributes =
        Attributes::BOUND_TO_ITS_TPM | Attributes::USER_WITH_AUTH | Attributes::RESTRICTED | Attributes::SIGN;
    let scheme = Some(Scheme { algorithm: RSASSA, hash: Hash::Sha256.id() });
    let parameters = Parameters::Rsa { symmetric: None, scheme, key_bits: RSA_BITS, exponent: 0, modulus: Vec::new() };
    area(attributes, &[], parameters)
}

fn area(attributes: Attributes, policy: &[u8], parameters: Parameters) -> PublicArea {
    PublicArea { name_algorithm: Hash::Sha256.id(), attributes, policy: policy.to_vec(), parameters }
}

fn parent_rsa(modulus: Vec<u8>) -> Parameters {
    Parameters::Rsa { symmetric: Some(AES_128_CFB), scheme: None, key_bits: RSA_BITS, exponent: 0, modulus }
}

const RSA_BITS: u16 = 2048;
const AES_128_CFB: Symmetric = Symmetric { algorithm: AES, key_bits: 128, mode: CFB };
const STORAGE: Attributes = Attributes(
    Attributes::BOUND_TO_ITS_TPM.0
        | Attributes::USER_WITH_AUTH.0
        | Attributes::NO_DA.0
        | Attributes::RESTRICTED.0
        | Attributes::DECRYPT.0,
);
/// PolicySecret of the endorsement hierarchy (the profile's "PolicyA").
const ENDORSEMENT_POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7,
    0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Part 1, section 19.7: the digest of PolicySecret(TPM_RH_ENDORSEMENT) with an empty reference.
    #[test]
    fn the_endorsement_policy_is_what_it_says() {
        let command = [[0; 32].as_slice(), &0x151_u32.to_be_bytes(), &0x4000_000b_u32.to_be_bytes()].concat();
        assert_eq!(Hash::Sha256.digest(&Hash::Sha256.digest(&command)), ENDORSEMENT_POLICY);
    }
}
