//! Public keys as certificates carry them: SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, EcdsaVerificationAlgorithm,
    ParsedPublicKey, RsaPublicKeyComponents,
};
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as ParsedKey;
use x509_parser::x509::SubjectPublicKeyInfo;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublicKeyKind {
    EcP256,
    EcP384,
    EcP521,
    Ed25519,
    Rsa { bits: usize },
}

/// A public key of an accepted kind, with its DER kept as it came.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    kind: PublicKeyKind,
    spki: Vec<u8>,
    /// Where the subjectPublicKey bits begin in `spki`; they reach to its end.
    bits_start: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    #[error("malformed public key")]
    Malformed,
    #[error("unsupported public key algorithm {0}: use RSA, ECDSA on P-256, P-384 or P-521, or Ed25519")]
    UnsupportedAlgorithm(String),
    #[error("RSA key has {bits} bits: use 2048 to 8192")]
    RsaSize { bits: usize },
    #[error("public key has {bytes} bytes, more than the {SPKI_BYTES_MAX} allowed")]
    TooLarge { bytes: usize },
}

impl PublicKey {
    /// Reads a PKIX public key. Nothing may follow it.
    pub fn from_spki(spki: &[u8]) -> Result<Self, PublicKeyError> {
        if spki.len() > SPKI_BYTES_MAX {
            return Err(PublicKeyError::TooLarge { bytes: spki.len() });
        }
        let (rest, parsed) = SubjectPublicKeyInfo::from_der(spki).map_err(|_| PublicKeyError::Malformed)?;
        if !rest.is_empty() {
            return Err(PublicKeyError::Malformed);
        }
        Self::from_parsed(&parsed)
    }

    pub(crate) fn from_parsed(parsed: &SubjectPublicKeyInfo<'_>) -> Result<Self, PublicKeyError> {
        if parsed.raw.len() > SPKI_BYTES_MAX {
            return Err(PublicKeyError::TooLarge { bytes: parsed.raw.len() });
        }
        let bits: &[u8] = &parsed.subject_public_key.data;
        if parsed.subject_public_key.unused_bits != 0 || !parsed.raw.ends_with(bits) {
            return Err(PublicKeyError::Malformed);
        }
        let kind = kind_of(parsed)?;
        Ok(Self { kind, spki: parsed.raw.to_vec(), bits_start: parsed.raw.len() - bits.len() })
    }

    /// A point on a NIST curve, coordinates padded to the curve's size. `None` if it is not one.
    pub(crate) fn from_ec_point(kind: PublicKeyKind, x: &[u8], y: &[u8]) -> Option<Self> {
        let prefix = ec_spki_prefix(kind)?;
        let size = coordinate_bytes(kind)?;
        if x.len() != size || y.len() != size {
            return None;
        }
        let spki = [prefix, &[UNCOMPRESSED_POINT], x, y].concat();
        ParsedPublicKey::new(curve_check(kind)?, &spki[prefix.len()..]).ok()?;
        Some(Self { kind, bits_start: prefix.len(), spki })
    }

    pub(crate) fn from_ed25519(key: &[u8]) -> Option<Self> {
        let spki = [ED25519_SPKI_PREFIX, key].concat();
        (key.len() == ED25519_BYTES).then_some(Self {
            kind: PublicKeyKind::Ed25519,
            bits_start: ED25519_SPKI_PREFIX.len(),
            spki,
        })
    }

    pub(crate) fn from_rsa_components(n: &[u8], e: &[u8]) -> Result<Self, PublicKeyError> {
        let (n, e) = (strip_zeros(n), strip_zeros(e));
        let components = RsaPublicKeyComponents { n, e };
        let der: PublicKeyX509Der<'_> = components.as_der().map_err(|_| PublicKeyError::Malformed)?;
        Self::from_spki(der.as_ref())
    }

    pub fn kind(&self) -> PublicKeyKind {
        self.kind
    }

    /// PKIX (SubjectPublicKeyInfo) DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The content of subjectPublicKey: an elliptic curve point, or an RSAPublicKey.
    pub fn bits(&self) -> &[u8] {
        &self.spki[self.bits_start..]
    }

    /// The subject key identifier: SHA-1 of the public key bits (RFC 5280, section 4.2.1.2, method 1; as SPIRE).
    pub fn key_id(&self) -> [u8; KEY_ID_BYTES] {
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, self.bits()).as_ref());
        id
    }

    /// An X.509 authority's id: lowercase hex of [`Self::key_id`].
    pub fn key_id_hex(&self) -> String {
        hex::encode(self.key_id())
    }

    /// The coordinates of a point on a NIST curve.
    pub(crate) fn ec_coordinates(&self) -> Option<(&[u8], &[u8])> {
        let size = coordinate_bytes(self.kind)?;
        Some(self.bits().strip_prefix(&[UNCOMPRESSED_POINT])?.split_at(size))
    }

    /// Modulus and exponent of an RSA key, big-endian without leading zeros.
    pub(crate) fn rsa_components(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let (_, parsed) = SubjectPublicKeyInfo::from_der(&self.spki).ok()?;
        match parsed.parsed().ok()? {
            ParsedKey::RSA(key) => Some((strip_zeros(key.modulus).to_vec(), strip_zeros(key.exponent).to_vec())),
            _ => None,
        }
    }
}

fn kind_of(parsed: &SubjectPublicKeyInfo<'_>) -> Result<PublicKeyKind, PublicKeyError> {
    let algorithm = &parsed.algorithm.algorithm;
    let bits: &[u8] = &parsed.subject_public_key.data;
    let kind = if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let parameters = parsed.algorithm.parameters.as_ref().ok_or(PublicKeyError::Malformed)?;
        ec_kind(&parameters.as_oid().map_err(|_| PublicKeyError::Malformed)?)?
    } else if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return rsa_kind(parsed);
    } else if *algorithm == OID_SIG_ED25519 {
        PublicKeyKind::Ed25519
    } else {
        return Err(PublicKeyError::UnsupportedAlgorithm(algorithm.to_id_string()));
    };
    let well_formed = match coordinate_bytes(kind) {
        Some(size) => bits.len() == 1 + 2 * size && bits.first() == Some(&UNCOMPRESSED_POINT),
        None => bits.len() == ED25519_BYTES,
    };
    if well_formed { Ok(kind) } else { Err(PublicKeyError::Malformed) }
}

fn ec_kind(curve: &Oid<'_>) -> Result<PublicKeyKind, PublicKeyError> {
    [
        (OID_EC_P256, PublicKeyKind::EcP256),
        (OID_NIST_EC_P384, PublicKeyKind::EcP384),
        (OID_NIST_EC_P521, PublicKeyKind::EcP521),
    ]
    .into_iter()
    .find_map(|(oid, kind)| (oid == *curve).then_some(kind))
    .ok_or_else(|| PublicKeyError::UnsupportedAlgorithm(format!("ECDSA on curve {}", curve.to_id_string())))
}

fn rsa_kind(parsed: &SubjectPublicKeyInfo<'_>) -> Result<PublicKeyKind, PublicKeyError> {
    let Ok(ParsedKey::RSA(key)) = parsed.parsed() else { return Err(PublicKeyError::Malformed) };
    let modulus = strip_zeros(key.modulus);
    let leading_zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - leading_zeros;
    if strip_zeros(key.exponent).is_empty() {
        return Err(PublicKeyError::Malformed);
    }
    if (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        Ok(PublicKeyKind::Rsa { bits })
    } else {
        Err(PublicKeyError::RsaSize { bits })
    }
}

fn coordinate_bytes(kind: PublicKeyKind) -> Option<usize> {
    match kind {
        PublicKeyKind::EcP256 => Some(32),
        PublicKeyKind::EcP384 => Some(48),
        PublicKeyKind::EcP521 => Some(66),
        PublicKeyKind::Ed25519 | PublicKeyKind::Rsa { .. } => None,
    }
}

/// Any algorithm on the curve: reading a key for it checks that the point lies there.
fn curve_check(kind: PublicKeyKind) -> Option<&'static EcdsaVerificationAlgorithm> {
    match kind {
        PublicKeyKind::EcP256 => Some(&ECDSA_P256_SHA256_ASN1),
        PublicKeyKind::EcP384 => Some(&ECDSA_P384_SHA384_ASN1),
        PublicKeyKind::EcP521 => Some(&ECDSA_P521_SHA512_ASN1),
        PublicKeyKind::Ed25519 | PublicKeyKind::Rsa { .. } => None,
    }
}

/// Everything in a SubjectPublicKeyInfo that stands before an uncompressed point, which is the same for every key on a
/// curve (RFC 5480, section 2).
fn ec_spki_prefix(kind: PublicKeyKind) -> Option<&'static [u8]> {
    match kind {
        PublicKeyKind::EcP256 => Some(
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\0",
        ),
        PublicKeyKind::EcP384 => {
            Some(b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\0\x22\x03\x62\0")
        }
        PublicKeyKind::EcP521 => {
            Some(b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\0\x23\x03\x81\x86\0")
        }
        PublicKeyKind::Ed25519 | PublicKeyKind::Rsa { .. } => None,
    }
}

pub(crate) fn strip_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({:?}, {})", self.kind, self.key_id_hex())
    }
}

const KEY_ID_BYTES: usize = 20;
const ED25519_BYTES: usize = 32;
/// RFC 8410, section 4.
const ED25519_SPKI_PREFIX: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\0";
/// RFC 5480, section 2.2: compressed points are not to be relied upon, and Go does not read them either.
const UNCOMPRESSED_POINT: u8 = 4;
/// Below it a key is weak.
const RSA_BITS_MIN: usize = 2048;
/// Above it one verification costs more than it is worth; aws-lc's own limit.
const RSA_BITS_MAX: usize = 8192;
/// An RSA key of 8192 bits has about 1,060 bytes.
const SPKI_BYTES_MAX: usize = 2048;
