//! Bytes that nobody can guess.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

/// `None` when the system has none.
pub(super) fn random(bytes: usize) -> Option<Vec<u8>> {
    let mut random = vec![0; bytes];
    SystemRandom::new().fill(&mut random).ok()?;
    Some(random)
}
