//! Requests written by another implementation (rcgen) and by ourselves, and everything that is wrong with some.

use proptest::prelude::*;
use rcgen::{DnType, DnValue};
use steeple_ca::csr::{CSR_BYTES_MAX, NAMES_MAX, request};
use steeple_ca::{Csr, CsrError, PublicKey, PublicKeyError, PublicKeyKind, SigningKey, generate_pkcs8};
use steeple_core::{KeyType, Secret, SpiffeId};

#[test]
fn a_request_of_every_kind_of_key_proves_possession() {
    let kinds = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, PublicKeyKind::EcP256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, PublicKeyKind::EcP384),
        (&rcgen::PKCS_ECDSA_P521_SHA512, PublicKeyKind::EcP521),
        (&rcgen::PKCS_ED25519, PublicKeyKind::Ed25519),
    ];
    for (algorithm, kind) in kinds {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let csr = Csr::parse(&rcgen_request(&key)).unwrap();
        assert_eq!(csr.public_key.kind(), kind);
        assert_eq!(csr.verify_signature(), Ok(()));
    }
    let pkcs8 = generate_pkcs8(KeyType::Rsa2048).unwrap();
    for algorithm in [&rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_RSA_SHA384, &rcgen::PKCS_RSA_SHA512] {
        let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.expose().into(), algorithm).unwrap();
        let csr = Csr::parse(&rcgen_request(&key)).unwrap();
        assert_eq!(csr.public_key.kind(), PublicKeyKind::Rsa { bits: 2048 });
        assert_eq!(csr.verify_signature(), Ok(()));
    }
}

#[test]
fn names_and_subject_are_read_in_their_order() {
    let csr = Csr::parse(&rcgen_request(&rcgen::KeyPair::generate().unwrap())).unwrap();
    assert_eq!(csr.uris, ["spiffe://example.org/w", "https://example.org"]);
    assert_eq!(csr.dns_names, ["b.test", "a.test"]);
    let subject = csr.subject.as_ref().unwrap();
    assert_eq!((subject.organization[0].as_str(), subject.common_name.as_str()), ("Org", "Name"));
}

#[test]
fn a_subject_is_asked_for_by_any_attribute() {
    let asked = |attributes: &[(DnType, DnValue)]| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        attributes.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), value.clone()));
        let request = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap();
        Csr::parse(request.der()).unwrap().subject
    };
    assert_eq!(asked(&[]), None);
    assert!(asked(&[(DnType::CustomDnType(vec![2, 5, 4, 45]), "a".into())]).unwrap().is_empty());
    for value in [
        DnValue::Utf8String("Zoe".to_owned()),
        DnValue::PrintableString("Zoe".try_into().unwrap()),
        DnValue::BmpString("Zoe".try_into().unwrap()),
        DnValue::TeletexString("Zoe".try_into().unwrap()),
    ] {
        assert_eq!(asked(&[(DnType::CommonName, value)]).unwrap().common_name, "Zoe");
    }
}

#[test]
fn our_own_requests_are_read_by_ourselves_and_by_rcgen() {
    for key_type in [KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048] {
        let key = SigningKey::generate(key_type).unwrap();
        let id = SpiffeId::parse("spiffe://example.org/w").unwrap();
        let der = request(&key, &id, &["a.test".to_owned()]).unwrap();
        let csr = Csr::parse(&der).unwrap();
        assert_eq!(csr.verify_signature(), Ok(()));
        assert_eq!((&csr.public_key, csr.uris), (key.public_key(), vec![id.to_string()]));
        assert_eq!(csr.dns_names, ["a.test"]);
        let theirs = rcgen::CertificateSigningRequestParams::from_der(&der.into()).unwrap();
        assert_eq!(theirs.params.subject_alt_names.len(), 2);
    }
}

#[test]
fn a_broken_signature_is_told_as_go_tells_it() {
    let break_last_byte = |key: &SigningKey| {
        let mut der = request(key, &SpiffeId::parse("spiffe://example.org/w").unwrap(), &[]).unwrap();
        *der.last_mut().unwrap() ^= 1;
        Csr::parse(&der).unwrap().verify_signature().unwrap_err()
    };
    let ecdsa = break_last_byte(&SigningKey::generate(KeyType::EcP256).unwrap());
    assert_eq!((&ecdsa, ecdsa.to_string().as_str()), (&CsrError::EcdsaSignature, "x509: ECDSA verification failure"));
    let rsa = break_last_byte(&SigningKey::generate(KeyType::Rsa2048).unwrap());
    assert_eq!((&rsa, rsa.to_string().as_str()), (&CsrError::RsaSignature, "crypto/rsa: verification error"));
}

#[test]
fn another_key_under_the_same_signature_is_refused() {
    let id = SpiffeId::parse("spiffe://example.org/w").unwrap();
    let (mine, theirs) =
        (SigningKey::generate(KeyType::EcP256).unwrap(), SigningKey::generate(KeyType::EcP256).unwrap());
    let der = request(&mine, &id, &[]).unwrap();
    let swapped = replace(&der, mine.public_key().bits(), theirs.public_key().bits());
    let csr = Csr::parse(&swapped).unwrap();
    assert_eq!(&csr.public_key, theirs.public_key());
    assert_eq!(csr.verify_signature(), Err(CsrError::EcdsaSignature));
}

#[test]
fn an_algorithm_of_another_kind_of_key_is_refused() {
    let der = rcgen_request(&rcgen::KeyPair::generate().unwrap());
    // ecdsa-with-SHA256 becomes ecdsa-with-SHA1, which proves nothing.
    let sha1 = replace(&der, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1, 2]);
    assert_eq!(Csr::parse(&sha1).unwrap().verify_signature(), Err(CsrError::SignatureAlgorithm));
}

#[test]
fn what_is_no_request() {
    assert_eq!(Csr::parse(b""), Err(CsrError::Malformed));
    assert_eq!(Csr::parse(b"nonsense"), Err(CsrError::Malformed));
    let mut trailing = rcgen_request(&rcgen::KeyPair::generate().unwrap());
    trailing.push(0);
    assert_eq!(Csr::parse(&trailing), Err(CsrError::Malformed));
    let large = vec![0x30; CSR_BYTES_MAX + 1];
    assert_eq!(Csr::parse(&large), Err(CsrError::TooLarge { bytes: CSR_BYTES_MAX + 1 }));
    let names: Vec<String> = (0..NAMES_MAX).map(|number| format!("n{number}.test")).collect();
    let key = SigningKey::generate(KeyType::EcP256).unwrap();
    let der = request(&key, &SpiffeId::parse("spiffe://example.org/w").unwrap(), &names).unwrap();
    assert_eq!(Csr::parse(&der), Err(CsrError::TooManyNames { names: NAMES_MAX + 1 }));
}

#[test]
fn weak_and_unknown_public_keys() {
    let rsa = PublicKey::from_spki(&rsa_1024()).unwrap_err();
    assert_eq!(rsa, PublicKeyError::RsaSize { bits: 1024 });
    let key = SigningKey::generate(KeyType::EcP256).unwrap();
    let p256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let other_curve = replace(key.public_key().spki(), p256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 9]);
    let error = PublicKey::from_spki(&other_curve).unwrap_err();
    assert_eq!(error, PublicKeyError::UnsupportedAlgorithm("ECDSA on curve 1.2.840.10045.3.1.9".into()));
    let mut compressed = key.public_key().spki().to_vec();
    let point = compressed.len() - 65;
    compressed[point] = 2;
    assert_eq!(PublicKey::from_spki(&compressed), Err(PublicKeyError::Malformed));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Csr::parse(&bytes);
        let _ = PublicKey::from_spki(&bytes);
        let _ = SigningKey::from_pkcs8(&Secret::new(bytes));
    }

    /// A valid request with a few bytes changed is refused, or says and proves what it did before.
    #[test]
    fn no_change_to_a_request_goes_unnoticed(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let original = sample();
        let mut der = original.to_vec();
        for (at, byte) in changes {
            der[at.index(original.len())] = byte;
        }
        if let Ok(csr) = Csr::parse(&der) && csr.verify_signature().is_ok() {
            let sane = Csr::parse(original).unwrap();
            prop_assert_eq!(&csr.public_key, &sane.public_key);
            prop_assert_eq!(csr.uris, sane.uris);
        }
    }
}

fn sample() -> &'static [u8] {
    static SAMPLE: std::sync::LazyLock<Vec<u8>> =
        std::sync::LazyLock::new(|| rcgen_request(&rcgen::KeyPair::generate().unwrap()));
    &SAMPLE
}

fn rcgen_request(key: &rcgen::KeyPair) -> Vec<u8> {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Org");
    params.distinguished_name.push(DnType::CommonName, "Name");
    params.subject_alt_names = vec![
        rcgen::SanType::URI("spiffe://example.org/w".try_into().unwrap()),
        rcgen::SanType::DnsName("b.test".try_into().unwrap()),
        rcgen::SanType::URI("https://example.org".try_into().unwrap()),
        rcgen::SanType::DnsName("a.test".try_into().unwrap()),
    ];
    params.serialize_request(key).unwrap().der().to_vec()
}

/// Replaces every occurrence by bytes of the same length.
fn replace(haystack: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut replaced = haystack.to_vec();
    let found: Vec<usize> = (0..=haystack.len() - from.len()).filter(|at| haystack[*at..].starts_with(from)).collect();
    assert!(!found.is_empty());
    for at in found {
        replaced[at..at + to.len()].copy_from_slice(to);
    }
    replaced
}

/// A SubjectPublicKeyInfo with a modulus of 1024 bits.
fn rsa_1024() -> Vec<u8> {
    let mut spki = hex::decode("30819f300d06092a864886f70d010101050003818d0030818902818100").unwrap();
    spki.extend_from_slice(&[0xff; 128]);
    spki.extend_from_slice(&[2, 3, 1, 0, 1]);
    spki
}
