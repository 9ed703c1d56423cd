//! The snapshot format: frames over any stream.
//!
//! ```text
//!   file   = magic version frame*
//!   frame  = length:u32 crc32c:u32 payload             integers little endian
//!   header = 1 applied meta                            first; applied = 0 | 1 index:u64
//!   rows   = 2 (table:u8 key value)*                   key and value = length:u32 bytes
//!   end    = 3 rows:u64 sha256                         last; the hash covers all bytes before this frame
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use aws_lc_rs::digest::{Context, SHA256};

use crate::kv::ROW_BYTES_MAX;
use crate::{Row, StorageError};

const MAGIC: &[u8; 8] = b"STPLSNAP";
const VERSION: u32 = 1;
/// Rows are collected up to this size, so that a checksum covers a piece worth its overhead.
const FRAME_BYTES: usize = 256 << 10;
/// The longest frame: one row of the longest kind with its lengths, on top of a frame that was nearly full.
const FRAME_BYTES_MAX: usize = ROW_BYTES_MAX + FRAME_BYTES + 64;

const HEADER: u8 = 1;
const ROWS: u8 = 2;
const END: u8 = 3;

pub(crate) type Meta = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a complete snapshot amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) rows: u64,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: [u8; 32],
}

/// Why a stream is not a snapshot.
#[derive(Debug)]
pub(crate) enum DecodeError {
    Read(io::Error),
    Invalid(String),
}

pub(crate) struct Encoder<W> {
    out: W,
    hash: Context,
    size_bytes: u64,
    rows: u64,
    frame: Vec<u8>,
}

impl<W: Write> Encoder<W> {
    pub(crate) fn begin(out: W, applied: Option<u64>, meta: &Meta) -> Result<Self, EncodeError> {
        let mut encoder = Self { out, hash: Context::new(&SHA256), size_bytes: 0, rows: 0, frame: vec![HEADER] };
        encoder.write(MAGIC)?;
        encoder.write(&VERSION.to_le_bytes())?;
        encoder.frame.push(u8::from(applied.is_some()));
        if let Some(index) = applied {
            encoder.frame.extend_from_slice(&index.to_le_bytes());
        }
        for (key, value) in meta {
            put_bytes(&mut encoder.frame, key);
            put_bytes(&mut encoder.frame, value);
        }
        encoder.end_frame()?;
        Ok(encoder)
    }

    pub(crate) fn row(&mut self, row: &Row) -> Result<(), EncodeError> {
        if self.frame.is_empty() {
            self.frame.push(ROWS);
        }
        self.frame.push(row.table);
        put_bytes(&mut self.frame, &row.key);
        put_bytes(&mut self.frame, &row.value);
        self.rows += 1;
        if self.frame.len() >= FRAME_BYTES { self.end_frame() } else { Ok(()) }
    }

    pub(crate) fn finish(mut self) -> Result<(W, Totals), EncodeError> {
        if !self.frame.is_empty() {
            self.end_frame()?;
        }
        let sha256 = digest(&self.hash);
        self.frame.push(END);
        self.frame.extend_from_slice(&self.rows.to_le_bytes());
        self.frame.extend_from_slice(&sha256);
        self.end_frame()?;
        Ok((self.out, Totals { rows: self.rows, size_bytes: self.size_bytes, sha256 }))
    }

    fn end_frame(&mut self) -> Result<(), EncodeError> {
        let frame = std::mem::take(&mut self.frame);
        if frame.len() > FRAME_BYTES_MAX {
            return Err(EncodeError::TooLarge(StorageError::TooLarge {
                what: "a snapshot frame",
                size_bytes: frame.len(),
                max_bytes: FRAME_BYTES_MAX,
            }));
        }
        // The limit above is far below 4 GiB.
        self.write(&(frame.len() as u32).to_le_bytes())?;
        self.write(&crc32c::crc32c(&frame).to_le_bytes())?;
        self.write(&frame)?;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.hash.update(bytes);
        self.size_bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(EncodeError::Write)
    }
}

#[derive(Debug)]
pub(crate) enum EncodeError {
    Write(io::Error),
    TooLarge(StorageError),
}

/// Reads a snapshot and checks all of it on the way; nothing is proven before [`Decoder::next_rows`] returned `None`.
pub(crate) struct Decoder<R> {
    input: R,
    hash: Context,
    size_bytes: u64,
    rows: u64,
    pub(crate) applied: Option<u64>,
    pub(crate) meta: Meta,
    totals: Option<Totals>,
}

impl<R: Read> Decoder<R> {
    pub(crate) fn begin(input: R) -> Result<Self, DecodeError> {
        let mut decoder = Self {
            input,
            hash: Context::new(&SHA256),
            size_bytes: 0,
            rows: 0,
            applied: None,
            meta: Meta::new(),
            totals: None,
        };
        if &decoder.array::<8>()? != MAGIC {
            return Err(invalid("not a snapshot"));
        }
        let version = u32::from_le_bytes(decoder.array()?);
        if version != VERSION {
            return Err(invalid(format!("snapshot format {version}, this release reads {VERSION}")));
        }
        let frame = decoder.frame()?;
        let mut fields = Fields(&frame);
        if fields.byte()? != HEADER {
            return Err(invalid("the first frame is not a header"));
        }
        decoder.applied = match fields.byte()? {
            0 => None,
            1 => Some(u64::from_le_bytes(fields.array()?)),
            _ => return Err(invalid("unknown flag before the applied index")),
        };
        while !fields.0.is_empty() {
            let (key, value) = (fields.bytes()?.to_vec(), fields.bytes()?.to_vec());
            decoder.meta.insert(key, value);
        }
        Ok(decoder)
    }

    /// The rows of the next frame; `None` after the last one, when count, hash and end of stream were right.
    pub(crate) fn next_rows(&mut self) -> Result<Option<Vec<Row>>, DecodeError> {
        if self.totals.is_some() {
            return Ok(None);
        }
        let sha256 = digest(&self.hash);
        let frame = self.frame()?;
        let mut fields = Fields(&frame);
        match fields.byte()? {
            ROWS => {
                let mut rows = Vec::new();
                while !fields.0.is_empty() {
                    let table = fields.byte()?;
                    rows.push(Row { table, key: fields.bytes()?.to_vec(), value: fields.bytes()?.to_vec() });
                }
                self.rows += rows.len() as u64;
                Ok(Some(rows))
            }
            END => {
                let (rows, hash) = (u64::from_le_bytes(fields.array()?), fields.array::<32>()?);
                if rows != self.rows {
                    return Err(invalid(format!("{} rows where {rows} were written", self.rows)));
                }
                if hash != sha256 {
                    return Err(invalid("hash mismatch"));
                }
                if !fields.0.is_empty() || self.input.read(&mut [0]).map_err(DecodeError::Read)? != 0 {
                    return Err(invalid("bytes after the end"));
                }
                self.totals = Some(Totals { rows, size_bytes: self.size_bytes, sha256 });
                Ok(None)
            }
            kind => Err(invalid(format!("unknown frame kind {kind}"))),
        }
    }

    /// Reads to the end for the checks alone.
    pub(crate) fn verify(mut self) -> Result<(Option<u64>, Meta, Totals), DecodeError> {
        while self.next_rows()?.is_some() {}
        let totals = self.totals.ok_or_else(|| invalid("no end"))?;
        Ok((self.applied, self.meta, totals))
    }

    fn frame(&mut self) -> Result<Vec<u8>, DecodeError> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let crc = u32::from_le_bytes(self.array()?);
        if length > FRAME_BYTES_MAX {
            return Err(invalid(format!("a frame of {length} bytes, at most {FRAME_BYTES_MAX} are allowed")));
        }
        // Grows with what arrives, not with what was announced.
        let mut frame = Vec::new();
        (&mut self.input).take(length as u64).read_to_end(&mut frame).map_err(DecodeError::Read)?;
        if frame.len() != length {
            return Err(invalid("cut short"));
        }
        self.hash.update(&frame);
        self.size_bytes += frame.len() as u64;
        if crc32c::crc32c(&frame) != crc {
            return Err(invalid("frame checksum mismatch"));
        }
        Ok(frame)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        self.input.read_exact(&mut array).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => invalid("cut short"),
            _ => DecodeError::Read(error),
        })?;
        self.hash.update(&array);
        self.size_bytes += N as u64;
        Ok(array)
    }
}

/// What is left of a frame.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| invalid("a field is cut short"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(|| invalid("a field is cut short"))?;
        self.0 = rest;
        Ok(bytes)
    }
}

fn put_bytes(frame: &mut Vec<u8>, bytes: &[u8]) {
    // A frame is far below 4 GiB; a longer field is refused with its frame.
    frame.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    frame.extend_from_slice(bytes);
}

fn digest(hash: &Context) -> [u8; 32] {
    let mut sha256 = [0; 32];
    // SHA-256 gives 32 bytes.
    sha256.copy_from_slice(hash.clone().finish().as_ref());
    sha256
}

fn invalid(detail: impl Into<String>) -> DecodeError {
    DecodeError::Invalid(detail.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(applied: Option<u64>, meta: &Meta, rows: &[Row]) -> Vec<u8> {
        let mut encoder = Encoder::begin(Vec::new(), applied, meta).unwrap();
        for row in rows {
            encoder.row(row).unwrap();
        }
        encoder.finish().unwrap().0
    }

    fn decode(bytes: &[u8]) -> Result<(Option<u64>, Meta, Vec<Row>), DecodeError> {
        let mut decoder = Decoder::begin(bytes)?;
        let mut rows = Vec::new();
        while let Some(more) = decoder.next_rows()? {
            rows.extend(more);
        }
        Ok((decoder.applied, decoder.meta, rows))
    }

    fn row() -> impl Strategy<Value = Row> {
        (0..=254_u8, any::<Vec<u8>>(), any::<Vec<u8>>()).prop_map(|(table, key, value)| Row { table, key, value })
    }

    proptest! {
        #[test]
        fn round_trips(applied: Option<u64>, meta: Meta, rows in prop::collection::vec(row(), 0..20)) {
            let bytes = encode(applied, &meta, &rows);
            prop_assert_eq!(decode(&bytes).unwrap(), (applied, meta, rows));
        }

        #[test]
        fn any_flipped_bit_and_any_truncation_is_found(
            rows in prop::collection::vec(row(), 0..5), at: prop::sample::Index, bit in 0..8_u8,
        ) {
            let bytes = encode(Some(3), &Meta::new(), &rows);
            let at = at.index(bytes.len());
            prop_assert!(decode(&bytes[..at]).is_err());
            let mut damaged = bytes.clone();
            damaged[at] ^= 1_u8 << bit;
            prop_assert!(decode(&damaged).is_err());
        }

        #[test]
        fn hostile_bytes_never_panic(mut bytes: Vec<u8>) {
            let _ = decode(&bytes);
            bytes.splice(0..0, MAGIC.iter().copied().chain(VERSION.to_le_bytes()));
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn many_rows_span_frames_and_totals_agree() {
        let rows: Vec<Row> = (0..2_000_u32)
            .map(|at| Row { table: 1, key: at.to_be_bytes().to_vec(), value: vec![at as u8; 1_000] })
            .collect();
        let mut encoder = Encoder::begin(Vec::new(), None, &Meta::new()).unwrap();
        rows.iter().for_each(|row| encoder.row(row).unwrap());
        let (bytes, totals) = encoder.finish().unwrap();
        let (_, _, verified) = Decoder::begin(&bytes[..]).unwrap().verify().unwrap();
        assert_eq!(totals, verified);
        assert_eq!(totals.size_bytes, bytes.len() as u64);
        assert_eq!(decode(&bytes).unwrap().2, rows);
    }

    #[test]
    fn a_frame_that_was_removed_is_missed() {
        let rows = vec![Row { table: 1, key: vec![1], value: vec![0; FRAME_BYTES] }; 2];
        let bytes = encode(None, &Meta::new(), &rows);
        let one = encode(None, &Meta::new(), &rows[..1]).len() - encode(None, &Meta::new(), &[]).len();
        let header = encode(None, &Meta::new(), &[]).len() - (8 + 1 + 8 + 32);
        let mut cut = bytes[..header].to_vec();
        cut.extend_from_slice(&bytes[header + one..]);
        assert!(matches!(decode(&cut), Err(DecodeError::Invalid(_))));
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        let mut bytes = encode(None, &Meta::new(), &[]);
        bytes.push(0);
        assert!(decode(&bytes).is_err());
    }
}
