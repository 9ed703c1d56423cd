//! How one log entry lies in the database: big-endian index as key, checksummed term and bytes as value.

use crate::StorageError;

/// The value is `crc32c | version | term | bytes`; the checksum covers the index and all that follows it, so an
/// entry that is intact but under another index is refused as well.
const VERSION: u8 = 1;
const CRC_BYTES: usize = 4;
const HEADER_BYTES: usize = CRC_BYTES + 1 + 8;

/// One entry of the Raft log. What `bytes` mean is the caller's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    pub index: u64,
    pub term: u64,
    pub bytes: Vec<u8>,
}

/// Keys sort as their indexes do.
pub(crate) fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

pub(crate) fn index_of(key: &[u8]) -> Result<u64, StorageError> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| StorageError::Corrupt {
        what: "a key of the log".to_owned(),
        detail: format!("{} bytes where 8 belong", key.len()),
    })
}

pub(crate) fn encode(entry: &LogEntry) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER_BYTES + entry.bytes.len());
    value.extend_from_slice(&[0; CRC_BYTES]);
    value.push(VERSION);
    value.extend_from_slice(&entry.term.to_le_bytes());
    value.extend_from_slice(&entry.bytes);
    let crc = checksum(entry.index, &value[CRC_BYTES..]);
    value[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
    value
}

pub(crate) fn decode(index: u64, value: &[u8]) -> Result<LogEntry, StorageError> {
    let corrupt = |detail: String| StorageError::CorruptLogEntry { index, detail };
    let (crc, rest) = value.split_first_chunk::<CRC_BYTES>().ok_or_else(|| corrupt("too short".to_owned()))?;
    if u32::from_le_bytes(*crc) != checksum(index, rest) {
        return Err(corrupt("checksum mismatch".to_owned()));
    }
    let (version, rest) = rest.split_first().ok_or_else(|| corrupt("too short".to_owned()))?;
    if *version != VERSION {
        return Err(corrupt(format!("record version {version}, this release reads {VERSION}")));
    }
    let (term, bytes) = rest.split_first_chunk::<8>().ok_or_else(|| corrupt("too short".to_owned()))?;
    Ok(LogEntry { index, term: u64::from_le_bytes(*term), bytes: bytes.to_vec() })
}

fn checksum(index: u64, rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&index.to_be_bytes()), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trips(index: u64, term: u64, bytes: Vec<u8>) {
            let entry = LogEntry { index, term, bytes };
            prop_assert_eq!(decode(index, &encode(&entry)), Ok(entry));
        }

        #[test]
        fn any_flipped_bit_names_the_entry(
            index: u64, term: u64, bytes: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8,
        ) {
            let mut value = encode(&LogEntry { index, term, bytes });
            let at = at.index(value.len());
            value[at] ^= 1_u8 << bit;
            let Err(StorageError::CorruptLogEntry { index: named, .. }) = decode(index, &value) else {
                return Err(TestCaseError::fail("the damage was not found"));
            };
            prop_assert_eq!(named, index);
        }

        #[test]
        fn hostile_bytes_never_panic(index: u64, value: Vec<u8>) {
            let _ = decode(index, &value);
        }
    }

    #[test]
    fn an_entry_under_another_index_is_refused() {
        let value = encode(&LogEntry { index: 7, term: 2, bytes: b"x".to_vec() });
        assert!(decode(8, &value).is_err());
    }
}
