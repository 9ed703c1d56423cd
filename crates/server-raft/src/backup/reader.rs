//! Reads a backup frame by frame and checks every hash on the way. Needs no key and opens nothing.

use std::io::{self, Read};

use aws_lc_rs::digest::{Context, SHA256};
use steeple_api::steeple::backup as pb;

use super::BackupError;
use super::format::{FEATURE_LEVEL, FOOTER, HEADER, MAGIC, PAYLOAD_BYTES_MAX, ROWS, Sha256, VERSION, sha256, so_far};

pub struct BackupReader<R> {
    input: R,
    hash: Context,
    size_bytes: u64,
    header: pb::Header,
    header_hash: Sha256,
    chunks: u64,
    end: Option<End>,
}

/// What stands at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    pub(super) summary: pb::Summary,
    pub(super) sha256: Vec<u8>,
    pub(super) seal: Vec<u8>,
}

impl<R: Read> BackupReader<R> {
    pub fn begin(input: R) -> Result<Self, BackupError> {
        let mut reader = Self {
            input,
            hash: Context::new(&SHA256),
            size_bytes: 0,
            header: pb::Header::default(),
            header_hash: Sha256::default(),
            chunks: 0,
            end: None,
        };
        match reader.array::<8>() {
            Ok(magic) if magic == *MAGIC => {}
            Ok(_) | Err(BackupError::CutShort) => return Err(BackupError::NotABackup),
            Err(error) => return Err(error),
        }
        let found = u32::from_le_bytes(reader.array()?);
        if found != VERSION {
            return Err(BackupError::NewerFormat { found });
        }
        let (kind, payload) = reader.frame()?;
        if kind != HEADER {
            return Err(BackupError::damaged("the first frame is not a header"));
        }
        reader.header_hash = sha256(&payload);
        reader.header = decode(&payload)?;
        if reader.header.feature_level > FEATURE_LEVEL {
            return Err(BackupError::NewerFeatures { found: reader.header.feature_level });
        }
        Ok(reader)
    }

    pub fn header(&self) -> &pb::Header {
        &self.header
    }

    pub(super) fn header_hash(&self) -> Sha256 {
        self.header_hash
    }

    /// The number and the sealed bytes of the next chunk; `None` after the last one, when the footer agrees with all
    /// that came before it.
    pub(super) fn next_chunk(&mut self) -> Result<Option<(u64, Vec<u8>)>, BackupError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let before = so_far(&self.hash);
        let (kind, payload) = self.frame()?;
        match kind {
            ROWS => {
                let number = self.chunks;
                self.chunks += 1;
                Ok(Some((number, payload)))
            }
            FOOTER => {
                let footer: pb::Footer = decode(&payload)?;
                let summary = footer.summary.unwrap_or_default();
                if footer.sha256 != before {
                    return Err(BackupError::damaged("its hash is not the one that was written"));
                }
                if summary.chunks != self.chunks {
                    let what = format!("{} chunks where {} were written", self.chunks, summary.chunks);
                    return Err(BackupError::Damaged(what));
                }
                if self.input.read(&mut [0]).map_err(BackupError::reading)? != 0 {
                    return Err(BackupError::damaged("bytes after its end"));
                }
                self.end = Some(End { summary, sha256: footer.sha256, seal: footer.seal });
                Ok(None)
            }
            kind => Err(BackupError::Damaged(format!("unknown frame {kind}"))),
        }
    }

    /// Reads what is left of it, for the checks alone, and tells what the footer says and how long all of it is.
    pub(super) fn finish(&mut self) -> Result<(End, u64), BackupError> {
        while self.next_chunk()?.is_some() {}
        let end = self.end.clone().ok_or(BackupError::CutShort)?;
        Ok((end, self.size_bytes))
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>), BackupError> {
        let [kind] = self.array()?;
        let length = u32::from_le_bytes(self.array()?) as usize;
        let expected: Sha256 = self.array()?;
        if length > PAYLOAD_BYTES_MAX {
            let what = format!("a frame of {length} bytes, at most {PAYLOAD_BYTES_MAX} are possible");
            return Err(BackupError::Damaged(what));
        }
        // Grows with what arrives, not with what was announced.
        let mut payload = Vec::new();
        (&mut self.input).take(length as u64).read_to_end(&mut payload).map_err(BackupError::reading)?;
        if payload.len() != length {
            return Err(BackupError::CutShort);
        }
        if sha256(&payload) != expected {
            return Err(BackupError::Damaged(format!("frame {} fails its hash", self.chunks)));
        }
        self.hash.update(&payload);
        self.size_bytes += payload.len() as u64;
        Ok((kind, payload))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut array = [0; N];
        self.input.read_exact(&mut array).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => BackupError::CutShort,
            _ => BackupError::reading(error),
        })?;
        self.hash.update(&array);
        self.size_bytes += N as u64;
        Ok(array)
    }
}

/// The payload's hash was right, so what does not decode was written by another program.
fn decode<M: prost::Message + Default>(payload: &[u8]) -> Result<M, BackupError> {
    M::decode(payload).map_err(|error| BackupError::Damaged(error.to_string()))
}
