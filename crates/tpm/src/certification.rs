//! Whether an attestation key states that another key is in its TPM, and whether both are keys of which that says
//! something.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, RsaParameters};

use crate::algorithm::RSASSA;
use crate::wire::WireError;
use crate::{Attributes, Certified, Hash, PublicArea, PublicKey, Signature};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificationError {
    #[error("the attestation key lacks the attributes {0}: it could sign what no TPM stated")]
    AttestationKey(Attributes),
    #[error("the certified key lacks the attributes {0}: it could be in other places too")]
    CertifiedKey(Attributes),
    #[error("only RSA keys are supported")]
    NotRsa,
    #[error("not a signing key")]
    NotSigning,
    #[error("the key does not sign with RSASSA and SHA-256, SHA-384 or SHA-512")]
    Scheme,
    #[error("malformed signature: {0}")]
    MalformedSignature(WireError),
    #[error("signature verification failed")]
    Signature,
    #[error("malformed attestation: {0}")]
    Malformed(WireError),
    #[error("missing certify info")]
    NotCertified,
    #[error("certify failed")]
    OtherKey,
    #[error("cannot name the certified key: {0}")]
    Nameless(WireError),
}

/// `statement` is a TPMS_ATTEST, `signature` a TPMT_SIGNATURE of `attestation_key` over it. That the attestation key
/// itself is in a TPM is for [`crate::make_credential`] to find out.
pub fn verify_certification(
    attestation_key: &PublicArea,
    certified_key: &PublicArea,
    statement: &[u8],
    signature: &[u8],
) -> Result<(), CertificationError> {
    check_signature(attestation_key, statement, signature)?;
    let certified = Certified::decode(statement).map_err(CertificationError::Malformed)?;
    let certified = certified.ok_or(CertificationError::NotCertified)?;
    let name = certified_key.name().map_err(CertificationError::Nameless)?;
    if certified.name != name.as_bytes() {
        return Err(CertificationError::OtherKey);
    }
    // A key that signs whatever it is given signs statements that no TPM made.
    let lacking = attestation_key.attributes.lacking(Attributes::BOUND_TO_ITS_TPM | Attributes::RESTRICTED);
    if lacking != Attributes::default() {
        return Err(CertificationError::AttestationKey(lacking));
    }
    // One that was made elsewhere is known elsewhere.
    let lacking = certified_key.attributes.lacking(Attributes::BOUND_TO_ITS_TPM | Attributes::SIGN);
    if lacking != Attributes::default() {
        return Err(CertificationError::CertifiedKey(lacking));
    }
    Ok(())
}

fn check_signature(area: &PublicArea, statement: &[u8], signature: &[u8]) -> Result<(), CertificationError> {
    let Ok(PublicKey::Rsa { n, e }) = area.key() else { return Err(CertificationError::NotRsa) };
    if !area.attributes.contains(Attributes::SIGN) {
        return Err(CertificationError::NotSigning);
    }
    let scheme = area.scheme().filter(|scheme| scheme.algorithm == RSASSA);
    let hash = scheme.and_then(|scheme| Hash::of(scheme.hash)).ok_or(CertificationError::Scheme)?;
    let signature = Signature::decode(signature).map_err(CertificationError::MalformedSignature)?;
    match signature {
        Signature::Rsa { is_pss: false, hash: stated, signature } if stated == hash.id() => {
            PublicKeyComponents { n, e }
                .verify(verifier(hash), statement, &signature)
                .map_err(|_| CertificationError::Signature)
        }
        _ => Err(CertificationError::Signature),
    }
}

fn verifier(hash: Hash) -> &'static RsaParameters {
    match hash {
        Hash::Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Hash::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Hash::Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};

    use super::*;
    use crate::attestation::tests::statement;
    use crate::wire::Writer;
    use crate::{Parameters, Scheme, attestation_key, storage_root_key_ecc};

    const GENERATED: u32 = 0xff54_4347;
    const CERTIFY: u16 = 0x8017;

    /// A key in software that claims to be in a TPM; what it cannot do is activate a credential.
    struct Forger {
        key: KeyPair,
        area: PublicArea,
    }

    impl Forger {
        fn new() -> Self {
            let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
            let mut area = attestation_key();
            let Parameters::Rsa { modulus, .. } = &mut area.parameters else { panic!("RSA") };
            *modulus = key.public_key().modulus().big_endian_without_leading_zero().to_vec();
            Self { key, area }
        }

        fn sign(&self, message: &[u8]) -> Vec<u8> {
            let mut signature = vec![0; self.key.public_modulus_len()];
            self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
            Writer::default().u16(RSASSA).u16(Hash::Sha256.id()).sized(&signature).into_vec()
        }
    }

    fn device_key() -> PublicArea {
        let area = attestation_key();
        PublicArea { attributes: Attributes(area.attributes.0 & !Attributes::RESTRICTED.0), ..area }
    }

    #[test]
    fn what_a_restricted_key_states_is_believed() {
        let (forger, device) = (Forger::new(), device_key());
        let good = statement(GENERATED, CERTIFY, device.name().unwrap().as_bytes());
        let signature = forger.sign(&good);
        assert_eq!(verify_certification(&forger.area, &device, &good, &signature), Ok(()));
        let other = verify_certification(&forger.area, &attestation_key(), &good, &signature);
        assert_eq!(other, Err(CertificationError::OtherKey));
        let mut changed = good.clone();
        changed[20] ^= 1;
        let error = verify_certification(&forger.area, &device, &changed, &signature);
        assert_eq!(error, Err(CertificationError::Signature));
        let error = verify_certification(&Forger::new().area, &device, &good, &signature);
        assert_eq!(error, Err(CertificationError::Signature));
        let quote = statement(GENERATED, 0x8018, device.name().unwrap().as_bytes());
        let error = verify_certification(&forger.area, &device, &quote, &forger.sign(&quote));
        assert_eq!(error, Err(CertificationError::NotCertified));
    }

    #[test]
    fn keys_that_may_be_elsewhere_prove_nothing() {
        let forger = Forger::new();
        for missing in [Attributes::FIXED_TPM, Attributes::FIXED_PARENT, Attributes::SENSITIVE_DATA_ORIGIN] {
            let without = |area: &PublicArea| PublicArea {
                attributes: Attributes(area.attributes.0 & !missing.0),
                ..area.clone()
            };
            let device = without(&device_key());
            let said = statement(GENERATED, CERTIFY, device.name().unwrap().as_bytes());
            let error = verify_certification(&forger.area, &device, &said, &forger.sign(&said));
            assert_eq!(error, Err(CertificationError::CertifiedKey(missing)));
            let said = statement(GENERATED, CERTIFY, device_key().name().unwrap().as_bytes());
            let error = verify_certification(&without(&forger.area), &device_key(), &said, &forger.sign(&said));
            assert_eq!(error, Err(CertificationError::AttestationKey(missing)));
        }
    }

    #[test]
    fn attestation_keys_sign_what_tpms_state_and_nothing_else() {
        let (forger, device) = (Forger::new(), device_key());
        let said = statement(GENERATED, CERTIFY, device.name().unwrap().as_bytes());
        let signature = forger.sign(&said);
        let with = |attributes: u32| PublicArea { attributes: Attributes(attributes), ..forger.area.clone() };
        let attributes = forger.area.attributes.0;
        let free = verify_certification(&with(attributes & !Attributes::RESTRICTED.0), &device, &said, &signature);
        assert_eq!(free, Err(CertificationError::AttestationKey(Attributes::RESTRICTED)));
        let silent = verify_certification(&with(attributes & !Attributes::SIGN.0), &device, &said, &signature);
        assert_eq!(silent, Err(CertificationError::NotSigning));
        let ecc = verify_certification(&storage_root_key_ecc(), &device, &said, &signature);
        assert_eq!(ecc, Err(CertificationError::NotRsa));
        let mut schemeless = forger.area.clone();
        let Parameters::Rsa { scheme, .. } = &mut schemeless.parameters else { panic!("RSA") };
        *scheme = Some(Scheme { algorithm: RSASSA, hash: 4 });
        let sha1 = verify_certification(&schemeless, &device, &said, &signature);
        assert_eq!(sha1, Err(CertificationError::Scheme));
    }
}
