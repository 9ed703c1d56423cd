//! The private key of a host: `ssh-keygen`'s own format, and the PEM formats that older ones wrote.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _};
use steeple_core::Secret;
use zeroize::Zeroizing;

use super::public_key::{Curve, PublicKey};
use super::reader::{Reader, ShortRead, write_positive};
use super::wire::Signature;
use crate::json::Bytes;

/// What signs for a host.
pub(super) enum HostKey {
    Rsa(rsa::KeyPair),
    Ecdsa(Curve, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HostKeyError {
    #[error("ssh: no key found")]
    NoKey,
    #[error("ssh: this private key is passphrase protected")]
    Encrypted,
    #[error("ssh: unsupported or damaged private key")]
    Unusable,
    #[error("ssh: the key does not sign")]
    Signing,
}

impl From<ShortRead> for HostKeyError {
    fn from(_: ShortRead) -> Self {
        Self::Unusable
    }
}

impl HostKey {
    pub(super) fn parse(text: &[u8]) -> Result<Self, HostKeyError> {
        let block = pem::parse(text).map_err(|_| HostKeyError::NoKey)?;
        if block.headers().iter().any(|(_, value)| value.contains("ENCRYPTED")) {
            return Err(HostKeyError::Encrypted);
        }
        let is_openssh = block.tag() == "OPENSSH PRIVATE KEY";
        let content = Secret::new(block.into_contents());
        if is_openssh {
            return openssh(content.expose());
        }
        Self::from_der(content.expose()).ok_or(HostKeyError::Unusable)
    }

    /// PKCS#8, PKCS#1 or SEC1.
    fn from_der(der: &[u8]) -> Option<Self> {
        if let Ok(key) = rsa::KeyPair::from_pkcs8(der).or_else(|_| rsa::KeyPair::from_der(der)) {
            return Some(Self::Rsa(key));
        }
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Some(Self::Ed25519(key));
        }
        Curve::ALL.into_iter().find_map(|curve| {
            let scheme = signing_scheme(curve);
            let key =
                EcdsaKeyPair::from_pkcs8(scheme, der).or_else(|_| EcdsaKeyPair::from_private_key_der(scheme, der));
            Some(Self::Ecdsa(curve, key.ok()?))
        })
    }

    /// RSA keys sign with SHA-512 (RFC 8332), which SPIRE's servers take as well as the SHA-1 of SPIRE's agents.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Signature, HostKeyError> {
        let (format, blob) = match self {
            Self::Rsa(key) => {
                let mut blob = vec![0; key.public_modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA512, &SystemRandom::new(), message, &mut blob)
                    .map_err(|_| HostKeyError::Signing)?;
                ("rsa-sha2-512", blob)
            }
            Self::Ecdsa(curve, key) => {
                let fixed = key.sign(&SystemRandom::new(), message).map_err(|_| HostKeyError::Signing)?;
                let (r, s) = fixed.as_ref().split_at(fixed.as_ref().len() / 2);
                let mut blob = Vec::new();
                write_positive(&mut blob, r);
                write_positive(&mut blob, s);
                (curve.algorithm(), blob)
            }
            Self::Ed25519(key) => ("ssh-ed25519", key.sign(message).as_ref().to_vec()),
        };
        Ok(Signature { format: format.to_owned(), blob: Bytes(blob), rest: None })
    }

    /// Whether it is the key of `public`.
    pub(super) fn belongs_to(&self, public: &PublicKey) -> bool {
        match (self, public) {
            (Self::Ecdsa(_, key), PublicKey::Ecdsa { point, .. }) => key.public_key().as_ref() == point.as_slice(),
            (Self::Ed25519(key), PublicKey::Ed25519 { point }) => key.public_key().as_ref() == point.as_slice(),
            (Self::Rsa(_), PublicKey::Rsa { .. }) => {
                self.sign(b"").is_ok_and(|signature| public.verify(b"", &signature).is_ok())
            }
            _ => false,
        }
    }
}

/// `openssh-key-v1` (OpenSSH's PROTOCOL.key), unencrypted.
fn openssh(content: &[u8]) -> Result<HostKey, HostKeyError> {
    let mut reader = Reader(content.strip_prefix(OPENSSH_MAGIC).ok_or(HostKeyError::Unusable)?);
    if reader.text()? != "none" {
        return Err(HostKeyError::Encrypted);
    }
    let (_kdf, _kdf_options) = (reader.string()?, reader.string()?);
    if reader.u32()? != 1 {
        return Err(HostKeyError::Unusable);
    }
    let _public = reader.string()?;
    let mut reader = Reader(reader.string()?);
    if reader.u32()? != reader.u32()? {
        return Err(HostKeyError::Unusable);
    }
    match reader.text()? {
        "ssh-rsa" => rsa_key(&mut reader),
        "ssh-ed25519" => {
            let (public, private) = (reader.string()?, reader.string()?);
            // The seed, and the public key once more.
            let seed = private.get(..ED25519_SEED_BYTES).ok_or(HostKeyError::Unusable)?;
            Ed25519KeyPair::from_seed_and_public_key(seed, public)
                .map(HostKey::Ed25519)
                .map_err(|_| HostKeyError::Unusable)
        }
        algorithm => {
            let curve = Curve::of_algorithm(algorithm).ok_or(HostKeyError::Unusable)?;
            ecdsa_key(curve, &mut reader)
        }
    }
}

fn ecdsa_key(curve: Curve, reader: &mut Reader<'_>) -> Result<HostKey, HostKeyError> {
    let (_curve, point, scalar) = (reader.string()?, reader.string()?, reader.positive()?);
    let scheme = signing_scheme(curve);
    let missing = coordinate_bytes(curve).checked_sub(scalar.len()).ok_or(HostKeyError::Unusable)?;
    // As a whole: growing would leave a copy behind.
    let mut private = Zeroizing::new(Vec::with_capacity(coordinate_bytes(curve)));
    private.resize(missing, 0);
    private.extend_from_slice(scalar);
    EcdsaKeyPair::from_private_key_and_public_key(scheme, &private, point)
        .map(|key| HostKey::Ecdsa(curve, key))
        .map_err(|_| HostKeyError::Unusable)
}

fn rsa_key(reader: &mut Reader<'_>) -> Result<HostKey, HostKeyError> {
    let (n, e, d) = (reader.positive()?, reader.positive()?, reader.positive()?);
    let (inverse, p, q) = (reader.positive()?, reader.positive()?, reader.positive()?);
    let (d_p, d_q) = (remainder(d, &less_one(p)), remainder(d, &less_one(q)));
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: d_p.as_slice(),
        dQ: d_q.as_slice(),
        qInv: inverse,
    };
    rsa::KeyPair::from_components(&components).map(HostKey::Rsa).map_err(|_| HostKeyError::Unusable)
}

fn signing_scheme(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}

fn coordinate_bytes(curve: Curve) -> usize {
    match curve {
        Curve::P256 => 32,
        Curve::P384 => 48,
        Curve::P521 => 66,
    }
}

/// An odd number less one.
fn less_one(odd: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut even = Zeroizing::new(odd.to_vec());
    if let Some(last) = even.last_mut() {
        *last &= 0xfe;
    }
    even
}

/// `value` modulo `modulus`, big-endian: the format lacks the exponents of the primes, and the library wants them. Bit
/// by bit, with a byte to spare at the front for the bit that is shifted in.
fn remainder(value: &[u8], modulus: &[u8]) -> Zeroizing<Vec<u8>> {
    let modulus = Zeroizing::new([&[0], modulus].concat());
    let mut rest = Zeroizing::new(vec![0_u8; modulus.len()]);
    for bit in value.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        let mut carry = bit;
        for digit in rest.iter_mut().rev() {
            (*digit, carry) = (*digit << 1 | carry, *digit >> 7);
        }
        if rest.as_slice() >= modulus.as_slice() {
            let mut borrow = false;
            for (digit, subtrahend) in rest.iter_mut().rev().zip(modulus.iter().rev()) {
                let (less, first) = digit.overflowing_sub(*subtrahend);
                let (less, second) = less.overflowing_sub(u8::from(borrow));
                (*digit, borrow) = (less, first || second);
            }
        }
    }
    rest
}

const OPENSSH_MAGIC: &[u8] = b"openssh-key-v1\0";
const ED25519_SEED_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders() {
        for (value, modulus) in [(0_u32, 7_u32), (6, 7), (7, 7), (0xffff_ffff, 0x8001), (0x1234_5678, 0xff_fffe)] {
            let got = remainder(&value.to_be_bytes(), &modulus.to_be_bytes());
            let got = got.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
            assert_eq!(got, value % modulus, "{value} % {modulus}");
        }
        assert_eq!(less_one(&[1, 1]).as_slice(), [1, 0]);
    }

    #[test]
    fn what_is_no_key_is_told() {
        let error = |text: &str| HostKey::parse(text.as_bytes()).err();
        assert_eq!(error("nonsense"), Some(HostKeyError::NoKey));
        let pem = |tag: &str, content: &[u8]| pem::encode(&pem::Pem::new(tag, content.to_vec()));
        assert_eq!(error(&pem("OPENSSH PRIVATE KEY", b"x")), Some(HostKeyError::Unusable));
        assert_eq!(error(&pem("RSA PRIVATE KEY", b"x")), Some(HostKeyError::Unusable));
        let encrypted = [OPENSSH_MAGIC, &[0, 0, 0, 10], b"aes256-ctr"].concat();
        assert_eq!(error(&pem("OPENSSH PRIVATE KEY", &encrypted)), Some(HostKeyError::Encrypted));
    }
}
