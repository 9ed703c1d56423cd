//! KDFa (part 1, section 11.4.10.2): SP 800-108 in counter mode with HMAC.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::Hash;

/// `bits` is a multiple of 8, and at most four digests.
pub(crate) fn kdf_a(hash: Hash, key: &[u8], label: &str, context: &[u8], bits: u16) -> Zeroizing<Vec<u8>> {
    let key = hmac::Key::new(hash.hmac(), key);
    let bytes = usize::from(bits / 8);
    let mut derived = Zeroizing::new(Vec::with_capacity(bytes + hash.bytes()));
    for counter in 1..=BLOCKS_MAX {
        if derived.len() >= bytes {
            break;
        }
        let mut context_of_block = hmac::Context::with_key(&key);
        context_of_block.update(&counter.to_be_bytes());
        // The label ends with a zero.
        context_of_block.update(label.as_bytes());
        context_of_block.update(&[0]);
        context_of_block.update(context);
        context_of_block.update(&u32::from(bits).to_be_bytes());
        derived.extend_from_slice(context_of_block.sign().as_ref());
    }
    derived.truncate(bytes);
    derived
}

/// Keys of ciphers and HMACs need one.
const BLOCKS_MAX: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by another implementation (Python's hmac) from the same definition.
    #[test]
    fn keys_are_those_of_another_implementation() {
        let key: Vec<u8> = (0..16).collect();
        let derived = kdf_a(Hash::Sha256, &key, "STORAGE", &[0xaa; 34], 128);
        assert_eq!(hex::encode(&*derived), STORAGE);
        let derived = kdf_a(Hash::Sha256, &key, "INTEGRITY", &[], 256);
        assert_eq!(hex::encode(&*derived), INTEGRITY);
        // More than a digest.
        let derived = kdf_a(Hash::Sha384, &key, "X", &[1, 2], 512);
        assert_eq!(hex::encode(&*derived), TWO_BLOCKS);
    }

    const STORAGE: &str = "acbdbbafe6ca8f610f08a60c542363c0";
    const INTEGRITY: &str = "9d0eee85ba906b4eb5a28628d1406fc399e7de87d400e0bc42d7c44617498077";
    const TWO_BLOCKS: &str = "f63bce975222b22804f052b451219a5f3f7934dd19bcee93c2499ad5f768e315\
        3e8b5d05f2301ccd1bff8fa314b3025e9279b83d227434fccd549906116b183c";
}
