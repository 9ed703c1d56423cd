//! A secret under a passphrase: Argon2id (RFC 9106) makes the key, AES-256-GCM wraps.
//!
//! `memory ‖ passes ‖ lanes ‖ salt ‖ envelope`, the cost as three numbers of 32 bits. Whoever changes one gets another
//! key, which opens nothing.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand::SecureRandom;
use steeple_core::Secret;
use zeroize::Zeroizing;

use super::SealError;
use super::envelope::EnvelopeKey;
use super::sealing_key::KEY_BYTES;
use crate::random_bytes;

/// What one guess costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseCost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl PassphraseCost {
    /// RFC 9106, section 4, for machines that cannot spare 2 GiB.
    pub const RECOMMENDED: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    /// A file must not make a server take all memory.
    fn is_bearable(self) -> bool {
        self.memory_kib <= MEMORY_KIB_MAX && self.passes <= PASSES_MAX && self.lanes <= LANES_MAX
    }
}

/// Takes a good part of a second, on purpose.
pub fn wrap_with_passphrase(
    passphrase: &Secret,
    cost: PassphraseCost,
    secret: &Secret,
    associated: &[u8],
    random: &dyn SecureRandom,
) -> Result<Vec<u8>, SealError> {
    let salt = random_bytes::<SALT_BYTES>(random)?;
    let envelope = key(passphrase, cost, &salt)?.seal_bytes(associated, secret)?;
    let numbers = [cost.memory_kib, cost.passes, cost.lanes].map(u32::to_be_bytes);
    Ok([numbers.as_flattened(), &salt, &envelope].concat())
}

/// As long. A wrong passphrase cannot be told from an altered file.
pub fn unwrap_with_passphrase(passphrase: &Secret, wrapped: &[u8], associated: &[u8]) -> Result<Secret, SealError> {
    let cut_off = SealError::Malformed("what the passphrase wraps is cut off");
    let (numbers, rest) = wrapped.split_first_chunk::<NUMBERS_BYTES>().ok_or(cut_off.clone())?;
    let (salt, envelope) = rest.split_first_chunk::<SALT_BYTES>().ok_or(cut_off)?;
    let [memory_kib, passes, lanes] =
        [0, 4, 8].map(|at| numbers[at..].first_chunk().map_or(0, |number| u32::from_be_bytes(*number)));
    let cost = PassphraseCost { memory_kib, passes, lanes };
    if !cost.is_bearable() {
        return Err(SealError::Malformed("the cost of the passphrase is out of bounds"));
    }
    key(passphrase, cost, salt)?.open_bytes(associated, "sealing key", envelope)
}

fn key(passphrase: &Secret, cost: PassphraseCost, salt: &[u8]) -> Result<EnvelopeKey, SealError> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_BYTES));
    let params = params.map_err(|_| SealError::Malformed("the cost of the passphrase is out of bounds"))?;
    let mut derived = Zeroizing::new([0; KEY_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose(), salt, &mut *derived)
        .map_err(|_| SealError::Crypto)?;
    EnvelopeKey::new(&Secret::new(derived.to_vec()))
}

const SALT_BYTES: usize = 16;
const NUMBERS_BYTES: usize = 12;
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;

    const CHEAP: PassphraseCost = PassphraseCost { memory_kib: 64, passes: 1, lanes: 1 };

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn wrapped() -> Vec<u8> {
        wrap_with_passphrase(&secret("correct"), CHEAP, &secret("canary"), b"here", &SystemRandom::new()).unwrap()
    }

    fn unwrapped(passphrase: &str, wrapped: &[u8], associated: &[u8]) -> Result<Vec<u8>, SealError> {
        unwrap_with_passphrase(&secret(passphrase), wrapped, associated).map(|secret| secret.expose().to_vec())
    }

    #[test]
    fn only_the_passphrase_opens_and_only_in_its_place() {
        let wrapped = wrapped();
        assert!(!wrapped.windows(6).any(|part| part == b"canary"));
        assert_eq!(unwrapped("correct", &wrapped, b"here").unwrap(), b"canary");
        let altered = Err(SealError::Altered { what: "sealing key" });
        assert_eq!(unwrapped("Correct", &wrapped, b"here"), altered);
        assert_eq!(unwrapped("correct", &wrapped, b"there"), altered);
    }

    #[test]
    fn a_file_cannot_ask_for_more_than_a_server_has() {
        let mut greedy = wrapped();
        greedy[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        let refused = unwrapped("correct", &greedy, b"here").unwrap_err();
        assert_eq!(refused, SealError::Malformed("the cost of the passphrase is out of bounds"));
    }

    #[test]
    fn no_altered_or_shortened_bytes_open() {
        let wrapped = wrapped();
        for at in 0..wrapped.len() {
            let mut altered = wrapped.clone();
            altered[at] ^= 1;
            assert!(unwrapped("correct", &altered, b"here").is_err(), "byte {at}");
            assert!(unwrapped("correct", &wrapped[..at], b"here").is_err(), "{at} bytes");
        }
    }
}
