//! What a batch says about the log before it. It lies at the end of the batch, in the WAL alone.

/// In RocksDB's sequence numbers, of which every change of a batch has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// All up to this one is on the disk.
    pub(crate) synced: u64,
    /// The first one since the store was opened: no older one lies in this log.
    pub(crate) begun: u64,
}

/// What tells it from what an older release wrote there.
const MAGIC: [u8; 8] = *b"steeple\x01";
pub(super) const BYTES: usize = MAGIC.len() + 16;

impl Mark {
    /// What RocksDB writes before a blob in a batch: its tag (`kTypeLogData`) and its length.
    pub(super) const PREFIX: [u8; 2] = [3, BYTES as u8];

    pub(super) fn encode(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.synced.to_le_bytes());
        bytes[16..].copy_from_slice(&self.begun.to_le_bytes());
        bytes
    }

    /// The mark at the end of a batch, or of the last part of one.
    pub(super) fn at_the_end_of(batch: &[u8]) -> Option<Self> {
        let (rest, mark) = batch.split_last_chunk::<BYTES>()?;
        Self::decode(mark).filter(|_| rest.ends_with(&Self::PREFIX))
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (synced, begun) = bytes.strip_prefix(&MAGIC)?.split_first_chunk()?;
        Some(Self { synced: u64::from_le_bytes(*synced), begun: u64::from_le_bytes(begun.try_into().ok()?) })
    }
}
