//! TPM2_MakeCredential in software (part 1, section 24): a secret that only the TPM with a certain endorsement key can
//! read, and only while the key of a certain name is loaded there.
//!
//! ```text
//!   seed ──── RSA-OAEP "IDENTITY" under the endorsement key ─────────────▶ secret
//!     ├─ KDFa "STORAGE", name ──▶ AES-CFB key ── over the credential ──┐
//!     └─ KDFa "INTEGRITY" ──────▶ HMAC key ───── over that and name ───┴─▶ blob
//! ```

use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512, OaepAlgorithm, OaepPublicEncryptingKey,
    PublicEncryptingKey, PublicKeyComponents,
};
use zeroize::Zeroizing;

use crate::algorithm::{AES, CFB};
use crate::kdf::kdf_a;
use crate::wire::Writer;
use crate::{Hash, Name, PublicArea, PublicKey, Symmetric};

/// What TPM2_ActivateCredential is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// TPMS_ID_OBJECT.
    pub blob: Vec<u8>,
    /// TPMU_ENCRYPTED_SECRET.
    pub secret: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error("no random bytes")]
    Random,
    #[error("unsupported algorithm: endorsement keys are RSA keys of 2048 to 8192 bits with AES-CFB and SHA-2")]
    Unsupported,
}

/// `credential` is not longer than the digests of the endorsement key's hash, or the TPM refuses it.
pub fn make_credential(
    endorsement_key: &PublicArea,
    activated: &Name,
    credential: &[u8],
) -> Result<Credential, CredentialError> {
    let hash = Hash::of(endorsement_key.name_algorithm).ok_or(CredentialError::Unsupported)?;
    let cipher = endorsement_key.symmetric().ok_or(CredentialError::Unsupported)?;
    // As long as the key of the cipher (EK Credential Profile, section 2.1.5.1).
    let mut seed = Zeroizing::new(vec![0; usize::from(cipher.key_bits / 8)]);
    SystemRandom::new().fill(&mut seed).map_err(|_| CredentialError::Random)?;
    let secret = seal_seed(endorsement_key, hash, &seed)?;
    let blob = protect(cipher, hash, &seed, activated, credential)?;
    Ok(Credential { blob, secret })
}

fn seal_seed(endorsement_key: &PublicArea, hash: Hash, seed: &[u8]) -> Result<Vec<u8>, CredentialError> {
    let Ok(PublicKey::Rsa { n, e }) = endorsement_key.key() else { return Err(CredentialError::Unsupported) };
    let key: Result<PublicEncryptingKey, _> = PublicKeyComponents { n, e }.try_into();
    let key = key.and_then(OaepPublicEncryptingKey::new).map_err(|_| CredentialError::Unsupported)?;
    let mut sealed = vec![0; key.ciphertext_size()];
    let sealed = key.encrypt(oaep(hash), seed, &mut sealed, Some(IDENTITY));
    Ok(sealed.map_err(|_| CredentialError::Unsupported)?.to_vec())
}

/// Integrity over what is encrypted, and that.
fn protect(
    cipher: Symmetric,
    hash: Hash,
    seed: &[u8],
    activated: &Name,
    credential: &[u8],
) -> Result<Vec<u8>, CredentialError> {
    let algorithm = match cipher {
        Symmetric { algorithm: AES, key_bits: 128, mode: CFB } => &AES_128,
        Symmetric { algorithm: AES, key_bits: 192, mode: CFB } => &AES_192,
        Symmetric { algorithm: AES, key_bits: 256, mode: CFB } => &AES_256,
        _ => return Err(CredentialError::Unsupported),
    };
    let name = activated.as_bytes();
    let key = kdf_a(hash, seed, "STORAGE", name, cipher.key_bits);
    let key = UnboundCipherKey::new(algorithm, &key).and_then(EncryptingKey::cfb128);
    let key = key.map_err(|_| CredentialError::Unsupported)?;
    let mut encrypted = Writer::default().sized(credential).into_vec();
    // Each seed is used once.
    let zero = EncryptionContext::Iv128(FixedLength::from([0; 16]));
    key.less_safe_encrypt(&mut encrypted, zero).map_err(|_| CredentialError::Unsupported)?;

    let key = kdf_a(hash, seed, "INTEGRITY", &[], (hash.bytes() * 8) as u16);
    let key = hmac::Key::new(hash.hmac(), &key);
    let integrity = hmac::sign(&key, &[encrypted.as_slice(), name].concat());
    Ok(Writer::default().sized(integrity.as_ref()).bytes(&encrypted).into_vec())
}

fn oaep(hash: Hash) -> &'static OaepAlgorithm {
    match hash {
        Hash::Sha256 => &OAEP_SHA256_MGF1SHA256,
        Hash::Sha384 => &OAEP_SHA384_MGF1SHA384,
        Hash::Sha512 => &OAEP_SHA512_MGF1SHA512,
    }
}

/// The label ends with a zero.
const IDENTITY: &[u8] = b"IDENTITY\0";

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};

    use super::*;
    use crate::{Parameters, attestation_key, endorsement_key};

    /// Computed by go-tpm from the same seed and name.
    #[test]
    fn a_credential_is_protected_as_by_another_implementation() {
        let cipher = endorsement_key().symmetric().unwrap();
        let seed: Vec<u8> = (0..16).collect();
        let name = attestation_key().name().unwrap();
        let blob = protect(cipher, Hash::Sha256, &seed, &name, &[7; 32]).unwrap();
        assert_eq!(hex::encode(blob), BLOB);
    }

    #[test]
    fn the_seed_is_the_endorsement_keys_to_read() {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let public: Vec<u8> = {
            use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
            let der: PublicKeyX509Der<'_> = private.public_key().as_der().unwrap();
            der.as_ref().to_vec()
        };
        // SubjectPublicKeyInfo of RSA 2048: the modulus lies at a fixed place before its exponent.
        let modulus = public[public.len() - 5 - 256..public.len() - 5].to_vec();
        let mut area = endorsement_key();
        let Parameters::Rsa { modulus: of_area, .. } = &mut area.parameters else { panic!("RSA") };
        *of_area = modulus;
        let name = attestation_key().name().unwrap();
        let made = make_credential(&area, &name, &[7; 32]).unwrap();
        let private = OaepPrivateDecryptingKey::new(private).unwrap();
        let mut seed = vec![0; private.min_output_size()];
        let seed = private.decrypt(&OAEP_SHA256_MGF1SHA256, &made.secret, &mut seed, Some(IDENTITY)).unwrap();
        assert_eq!(seed.len(), 16);
        let cipher = area.symmetric().unwrap();
        assert_eq!(protect(cipher, Hash::Sha256, seed, &name, &[7; 32]), Ok(made.blob.clone()));
        assert_ne!(make_credential(&area, &name, &[7; 32]), Ok(made), "each has its own seed");
    }

    #[test]
    fn keys_that_protect_nothing_are_refused() {
        let name = attestation_key().name().unwrap();
        let refused = |area: &PublicArea| {
            assert_eq!(make_credential(area, &name, &[7; 32]), Err(CredentialError::Unsupported), "{area:?}");
        };
        // No modulus, no cipher, no hash.
        refused(&endorsement_key());
        refused(&attestation_key());
        refused(&PublicArea { name_algorithm: 4, ..endorsement_key() });
        for (key_bits, mode) in [(0, CFB), (8, CFB), (64, CFB), (128, 0x44), (u16::MAX, CFB)] {
            let mut area = endorsement_key();
            let Parameters::Rsa { symmetric, modulus, .. } = &mut area.parameters else { panic!("RSA") };
            *symmetric = Some(Symmetric { algorithm: AES, key_bits, mode });
            *modulus = vec![0xff; 256];
            refused(&area);
        }
    }

    const BLOB: &str = "0020f34f0919c99a94ae8a7fbc4f84ae8d80895271c22869b35bda0495d5f5f96755\
        95b09a1fa8463899617094b5de0b17fd9313e22a7e1324b9a351861eb18c8504eacf";
}
