//! Fresh private keys as PKCS#8 DER.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use steeple_core::plugin::KeyError;
use steeple_core::{KeyType, Secret};

pub fn generate_pkcs8(kind: KeyType) -> Result<Secret, KeyError> {
    let failed = || KeyError(format!("generating a key of type {} failed", kind.name()));
    let ecdsa = |algorithm| {
        EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())
            .map(|document| Secret::new(document.as_ref().to_vec()))
            .map_err(|_| failed())
    };
    let rsa = |size| {
        let key = rsa::KeyPair::generate(size).map_err(|_| failed())?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| failed())?;
        Ok(Secret::new(der.as_ref().to_vec()))
    };
    match kind {
        KeyType::EcP256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyType::EcP384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyType::Rsa2048 => rsa(rsa::KeySize::Rsa2048),
        KeyType::Rsa4096 => rsa(rsa::KeySize::Rsa4096),
    }
}
