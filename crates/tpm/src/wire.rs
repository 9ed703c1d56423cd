//! Integers, big-endian, and buffers with their length before them (part 2, sections 4 and 10.4).

use zeroize::{Zeroize, Zeroizing};

/// What is left of a message. Each method takes a value from its front.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

/// Why bytes are not the structure that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("it ends too early")]
    Short,
    #[error("a field has {bytes} bytes, more than {max}")]
    TooLong { bytes: usize, max: usize },
    #[error("{0} bytes follow it")]
    Trailing(usize),
    #[error("{what} 0x{value:04x} is not supported")]
    Unsupported { what: &'static str, value: u32 },
}

/// A structure that is being written. Its bytes may hold passwords, and are wiped.
#[derive(Clone, Debug, Default)]
pub struct Writer(Zeroizing<Vec<u8>>);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(WireError::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A TPM2B.
    pub fn sized(&mut self, max: usize) -> Result<&'a [u8], WireError> {
        let bytes = usize::from(self.u16()?);
        if bytes > max {
            return Err(WireError::TooLong { bytes, max });
        }
        self.bytes(bytes)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Nothing may follow.
    pub fn end(&self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::Trailing(self.0.len())) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(WireError::Short)?;
        self.0 = rest;
        Ok(*array)
    }
}

impl Writer {
    pub fn u8(mut self, value: u8) -> Self {
        self.append(&[value]);
        self
    }

    pub fn u16(mut self, value: u16) -> Self {
        self.append(&value.to_be_bytes());
        self
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.append(&value.to_be_bytes());
        self
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.append(bytes);
        self
    }

    /// A TPM2B. What does not fit its length is cut, so that the TPM refuses it: no structure here is so long.
    pub fn sized(self, bytes: &[u8]) -> Self {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(length).bytes(&bytes[..usize::from(length)])
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Of structures without secrets.
    pub fn into_vec(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }

    /// Leaves no copy behind when the memory has to move.
    fn append(&mut self, bytes: &[u8]) {
        if self.0.capacity() - self.0.len() < bytes.len() {
            let mut larger = Vec::with_capacity((self.0.len() + bytes.len()).max(2 * self.0.capacity()).max(64));
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            *self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_off_the_front() {
        let written = Writer::default().u8(1).u16(2).u32(3).sized(b"abc").bytes(&[9; 100]);
        let mut reader = Reader::new(written.as_slice());
        assert_eq!((reader.u8(), reader.u16(), reader.u32()), (Ok(1), Ok(2), Ok(3)));
        assert_eq!(reader.sized(3), Ok(b"abc".as_slice()));
        assert_eq!(reader.end(), Err(WireError::Trailing(100)));
        assert_eq!(reader.rest(), [9; 100]);
        assert_eq!((reader.end(), reader.u8()), (Ok(()), Err(WireError::Short)));
    }

    #[test]
    fn lengths_are_checked_before_anything_is_read() {
        assert_eq!(Reader::new(&[0xff, 0xff, 1]).sized(usize::MAX), Err(WireError::Short));
        assert_eq!(Reader::new(&[0, 3, 1, 2, 3]).sized(2), Err(WireError::TooLong { bytes: 3, max: 2 }));
        assert_eq!(Reader::new(&[0]).sized(2), Err(WireError::Short));
    }
}
