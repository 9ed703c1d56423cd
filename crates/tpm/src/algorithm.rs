//! Algorithms by their numbers (part 2, sections 6.3 and 6.4).

use aws_lc_rs::{digest, hmac};

/// A hash that TPMs name keys and sign with. SHA-1 is not among them: what it proves is for sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// A curve of the NIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
    P521,
}

impl Hash {
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    pub fn of(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.id() == id)
    }

    /// TPM_ALG_ID.
    pub fn id(self) -> u16 {
        match self {
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
            Self::Sha512 => 0x000d,
        }
    }

    pub fn bytes(self) -> usize {
        self.algorithm().output_len()
    }

    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        digest::digest(self.algorithm(), message).as_ref().to_vec()
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    pub(crate) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

impl Curve {
    pub const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    pub fn of(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.id() == id)
    }

    /// TPM_ECC_CURVE.
    pub fn id(self) -> u16 {
        match self {
            Self::P256 => 3,
            Self::P384 => 4,
            Self::P521 => 5,
        }
    }

    pub fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

pub const AES: u16 = 0x0006;
pub const CFB: u16 = 0x0043;
pub const ECDSA: u16 = 0x0018;
/// Nothing where an algorithm could be.
pub const NULL: u16 = 0x0010;
pub const RSAPSS: u16 = 0x0016;
/// PKCS #1, version 1.5.
pub const RSASSA: u16 = 0x0014;
/// Types of keys.
pub(crate) const RSA: u16 = 0x0001;
pub(crate) const ECC: u16 = 0x0023;
