//! Random identifiers. They are made by whoever proposes or issues, never while applying the log.

use std::fmt;

use aws_lc_rs::rand::SecureRandom;

/// A certificate's serial number: 128 random bits, never zero (RFC 5280, section 4.1.2.2, asks for a positive one).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(u128);

impl Serial {
    /// Takes 128 bits from `random`. Errs only when the system's random source does.
    pub fn random(random: &dyn SecureRandom) -> Result<Self, RandomError> {
        random_bytes(random).map(|bytes| Self(u128::from_be_bytes(bytes).max(1)))
    }

    pub(crate) fn to_be_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl From<u128> for Serial {
    /// Zero becomes one.
    fn from(number: u128) -> Self {
        Self(number.max(1))
    }
}

impl fmt::Display for Serial {
    /// Decimal, as SPIRE stores and prints serials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({})", self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source failed")]
pub struct RandomError;

pub fn random_bytes<const N: usize>(random: &dyn SecureRandom) -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    random.fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

/// A JWT key's `kid`: 32 characters of `[A-Za-z0-9]` (SPIRE behaviour), 190 bits.
pub fn random_key_id(random: &dyn SecureRandom) -> Result<String, RandomError> {
    let mut id = String::with_capacity(KEY_ID_CHARS);
    while id.len() < KEY_ID_CHARS {
        // 62 of 64 values are used, so a character is refused once in 32 times and the loop ends soon.
        let bytes: [u8; KEY_ID_CHARS] = random_bytes(random)?;
        let characters = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 0x3f)));
        id.extend(characters.take(KEY_ID_CHARS - id.len()).map(|byte| char::from(*byte)));
    }
    Ok(id)
}

const KEY_ID_CHARS: usize = 32;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;

    use super::*;

    #[test]
    fn serials_are_positive_decimal_numbers() {
        assert_eq!(Serial::from(0).to_string(), "1");
        assert_eq!(Serial::from(u128::MAX).to_string(), "340282366920938463463374607431768211455");
        let random = SystemRandom::new();
        assert_ne!(Serial::random(&random), Serial::random(&random));
    }

    #[test]
    fn key_ids_have_32_characters() {
        let id = random_key_id(&SystemRandom::new()).unwrap();
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    }
}
