//! The framing of RocksDB's write-ahead log (its "Write Ahead Log File Format"): blocks of 32 KiB, in each of which
//! fragments of records follow one another, each with a checksum.

/// Fragments do not cross the ends of these.
pub(super) const BLOCK_BYTES: usize = 32 << 10;
/// Masked CRC32C of kind and content, length of the content, kind.
const HEADER_BYTES: usize = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Full,
    First,
    Middle,
    Last,
    /// Compression, sizes of timestamps, the log before: no part of a record.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Fragment(Kind, &'a [u8]),
    /// The block ends within a fragment, if what it says of its length is right.
    CutOff,
    /// Bytes that are no fragment.
    Damage,
}

/// What lies in a block, in order. The last block of a file may be shorter.
pub(super) struct Fragments<'a> {
    rest: &'a [u8],
}

impl<'a> Fragments<'a> {
    pub(super) fn of(block: &'a [u8]) -> Self {
        Self { rest: block }
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        if let Some((kind, content)) = fragment(self.rest) {
            self.rest = &self.rest[HEADER_BYTES + content.len()..];
            return Some(Found::Fragment(kind, content));
        }
        // Where no header fits, the rest of a block is zeros.
        if self.rest.len() < HEADER_BYTES && self.rest.iter().all(|byte| *byte == 0) {
            return None;
        }
        // The length cannot be relied on, either: what comes next is found by its checksum.
        let next = (1..self.rest.len()).find(|at| fragment(&self.rest[*at..]).is_some());
        let found = if next.is_none() && is_short(self.rest) { Found::CutOff } else { Found::Damage };
        self.rest = next.map_or(&[], |at| &self.rest[at..]);
        Some(found)
    }
}

/// The fragment that begins here.
fn fragment(bytes: &[u8]) -> Option<(Kind, &[u8])> {
    let (header, behind) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let kind = match header[6] {
        1 => Kind::Full,
        2 => Kind::First,
        3 => Kind::Middle,
        4 => Kind::Last,
        9 | 10 | 130 => Kind::Other,
        _ => return None,
    };
    let content = behind.get(..usize::from(u16::from_le_bytes([header[4], header[5]])))?;
    let stored = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    (stored == checksum(header[6], content)).then_some((kind, content))
}

fn is_short(bytes: &[u8]) -> bool {
    let Some((header, behind)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return true };
    behind.len() < usize::from(u16::from_le_bytes([header[4], header[5]]))
}

/// Masked, as RocksDB stores checksums, since what it stores may hold checksums itself.
pub(super) fn checksum(kind: u8, content: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&[kind]), content);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
