//! Small stored values carry a CRC32C over their key and themselves, so that a value is never taken for another's and
//! a damaged vote stops the start instead of being read as "no vote".

use crate::StorageError;

const CRC_BYTES: usize = 4;

/// `crc32c(key, value)` in little endian, then the value.
pub(crate) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(CRC_BYTES + value.len());
    stored.extend_from_slice(&checksum(key, value).to_le_bytes());
    stored.extend_from_slice(value);
    stored
}

/// The value that [`seal`] stored under `key`.
pub(crate) fn open(key: &[u8], stored: &[u8]) -> Result<Vec<u8>, StorageError> {
    let corrupt = |detail: &str| StorageError::Corrupt {
        what: format!("the stored value {:?}", String::from_utf8_lossy(key)),
        detail: detail.to_owned(),
    };
    let (crc, value) = stored.split_first_chunk::<CRC_BYTES>().ok_or_else(|| corrupt("too short"))?;
    if u32::from_le_bytes(*crc) != checksum(key, value) {
        return Err(corrupt("checksum mismatch"));
    }
    Ok(value.to_vec())
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_was_sealed_under_that_key() {
        let stored = seal(b"vote", b"7");
        assert_eq!(open(b"vote", &stored), Ok(b"7".to_vec()));
        assert!(open(b"committed", &stored).is_err());
        for byte in 0..stored.len() {
            let mut damaged = stored.clone();
            damaged[byte] ^= 1;
            assert!(open(b"vote", &damaged).is_err(), "byte {byte}");
        }
        assert!(open(b"vote", &stored[..3]).is_err());
    }
}
