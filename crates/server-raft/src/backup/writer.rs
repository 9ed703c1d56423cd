//! Writes a backup to any stream, one row after the other.

use std::io::Write;

use aws_lc_rs::digest::{Context, SHA256};
use prost::Message as _;
use steeple_api::steeple::backup as pb;
use steeple_ca::seal::BackupCipher;
use steeple_state::{StateHash, Table};

use super::BackupError;
use super::format::{CHUNK_BYTES, FOOTER, HEADER, MAGIC, ROWS, Sha256, VERSION, sealed_by_footer, sha256, so_far};

pub(super) struct BackupWriter<W> {
    out: W,
    cipher: BackupCipher,
    header: Sha256,
    hash: Context,
    chunk: pb::Rows,
    chunk_bytes: usize,
    summary: pb::Summary,
    state_hash: StateHash,
}

impl<W: Write> BackupWriter<W> {
    pub(super) fn begin(out: W, header: &pb::Header, cipher: BackupCipher) -> Result<Self, BackupError> {
        let header = header.encode_to_vec();
        let mut writer = Self {
            out,
            cipher,
            header: sha256(&header),
            hash: Context::new(&SHA256),
            chunk: pb::Rows::default(),
            chunk_bytes: 0,
            summary: pb::Summary::default(),
            state_hash: StateHash::default(),
        };
        writer.write(MAGIC)?;
        writer.write(&VERSION.to_le_bytes())?;
        writer.frame(HEADER, &header)?;
        Ok(writer)
    }

    /// Returns how many rows there are so far.
    pub(super) fn row(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) -> Result<u64, BackupError> {
        self.state_hash.add(table, &key, &value);
        self.summary.rows += 1;
        let count = match table {
            Table::Entries => Some(&mut self.summary.entries),
            Table::Agents => Some(&mut self.summary.agents),
            Table::Bundles => Some(&mut self.summary.bundles),
            Table::Relationships => Some(&mut self.summary.federation_relationships),
            Table::JoinTokens => Some(&mut self.summary.join_tokens),
            _ => None,
        };
        if let Some(count) = count {
            *count += 1;
        }
        self.chunk_bytes += key.len() + value.len();
        self.chunk.rows.push(pb::Row { table: table.number().into(), key, value });
        if self.chunk_bytes >= CHUNK_BYTES {
            self.end_chunk()?;
        }
        Ok(self.summary.rows)
    }

    pub(super) fn finish(mut self) -> Result<(W, pb::Summary), BackupError> {
        if !self.chunk.rows.is_empty() {
            self.end_chunk()?;
        }
        self.summary.state_hash = self.state_hash.to_bytes().to_vec();
        let mut seal = Vec::new();
        let covered = sealed_by_footer(&self.header, &self.summary);
        self.cipher.seal_chunk(self.summary.chunks, &covered, &mut seal).map_err(BackupError::Seal)?;
        let footer = pb::Footer { summary: Some(self.summary.clone()), sha256: so_far(&self.hash).to_vec(), seal };
        self.frame(FOOTER, &footer.encode_to_vec())?;
        self.out.flush().map_err(BackupError::Write)?;
        Ok((self.out, self.summary))
    }

    fn end_chunk(&mut self) -> Result<(), BackupError> {
        let mut payload = std::mem::take(&mut self.chunk).encode_to_vec();
        self.chunk_bytes = 0;
        self.cipher.seal_chunk(self.summary.chunks, &self.header, &mut payload).map_err(BackupError::Seal)?;
        self.summary.chunks += 1;
        self.frame(ROWS, &payload)
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) -> Result<(), BackupError> {
        // A chunk holds a few rows beyond its size, each far below 4 GiB.
        let mut head = vec![kind];
        head.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        head.extend_from_slice(&sha256(payload));
        self.write(&head)?;
        self.write(payload)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.hash.update(bytes);
        self.out.write_all(bytes).map_err(BackupError::Write)
    }
}
