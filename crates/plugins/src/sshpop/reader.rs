//! The SSH wire format (RFC 4251, section 5): strings with their length before them, and integers.

/// What is left of a message. Each method takes a value from its front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub &'a [u8]);

/// A value is not there, has another form, or is not the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ssh: short read")]
pub(super) struct ShortRead;

impl<'a> Reader<'a> {
    pub(super) fn u32(&mut self) -> Result<u32, ShortRead> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ShortRead> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], ShortRead> {
        let length = usize::try_from(self.u32()?).map_err(|_| ShortRead)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(ShortRead)?;
        self.0 = rest;
        Ok(string)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, ShortRead> {
        std::str::from_utf8(self.string()?).map_err(|_| ShortRead)
    }

    /// A positive integer, big-endian without leading zeros.
    pub(super) fn positive(&mut self) -> Result<&'a [u8], ShortRead> {
        match self.string()? {
            [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => Ok(rest),
            bytes if bytes.first().is_some_and(|first| *first != 0 && first & 0x80 == 0) => Ok(bytes),
            _ => Err(ShortRead),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), ShortRead> {
        if self.is_empty() { Ok(()) } else { Err(ShortRead) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ShortRead> {
        let (array, rest) = self.0.split_first_chunk().ok_or(ShortRead)?;
        self.0 = rest;
        Ok(*array)
    }
}

/// Appends `bytes` with their length.
pub(super) fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a positive integer, which may have leading zeros.
pub(super) fn write_positive(out: &mut Vec<u8>, integer: &[u8]) {
    let integer = crate::ecdsa::minimal(integer);
    match integer.first() {
        Some(first) if first & 0x80 != 0 => write_string(out, &[&[0], integer].concat()),
        _ => write_string(out, integer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_off_the_front() {
        let mut message = vec![0, 0, 0, 7];
        write_string(&mut message, b"ssh");
        write_positive(&mut message, &[0, 0x80, 1]);
        write_positive(&mut message, &[0x7f]);
        let mut reader = Reader(&message);
        assert_eq!((reader.u32(), reader.text()), (Ok(7), Ok("ssh")));
        assert_eq!(reader.positive(), Ok([0x80, 1].as_slice()));
        assert_eq!(reader.positive(), Ok([0x7f].as_slice()));
        assert_eq!((reader.end(), reader.u32()), (Ok(()), Err(ShortRead)));
    }

    #[test]
    fn integers_have_one_form_and_lengths_are_checked() {
        for other in [[0, 0, 0, 1, 0x80].as_slice(), &[0, 0, 0, 2, 0, 0x7f], &[0, 0, 0, 0], &[0, 0, 0, 1, 0]] {
            assert_eq!(Reader(other).positive(), Err(ShortRead), "{other:?}");
        }
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 1]).string(), Err(ShortRead));
        assert_eq!(Reader(&[0, 0, 0, 2, 1]).string(), Err(ShortRead));
    }
}
