//! A decoder of header blocks that keeps the client's dynamic table, and an encoder that keeps none (RFC 7541).

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use super::huffman;
use super::static_table::STATIC_TABLE;

/// Why a header block cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HpackError {
    #[error("Huffman-coded string is malformed")]
    BadHuffman,
    #[error("index {0} is in neither table")]
    BadIndex(usize),
    #[error("Huffman-coded string contains the end-of-string symbol")]
    EndOfStringSymbol,
    #[error("integer is too large")]
    IntegerOverflow,
    #[error("table size {0} is above the {TABLE_BYTES_MAX} that were allowed")]
    TableTooLarge(usize),
    #[error("header block is cut short")]
    Truncated,
    #[error("table size update after the first header field")]
    UpdateTooLate,
}

/// One decoded header field, as it stood in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// The client asked that no hop ever index it.
    pub(super) never_indexed: bool,
}

/// Follows the dynamic table of one client.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Newest first.
    entries: VecDeque<(Bytes, Bytes)>,
    size: usize,
    size_max: usize,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, size_max: TABLE_BYTES_MAX }
    }

    /// Hands every field of a complete block to `each`, in order. After an error the table is no longer the client's.
    pub(super) fn decode(&mut self, block: &[u8], mut each: impl FnMut(Field<'_>)) -> Result<(), HpackError> {
        let mut input = Input(block);
        let (mut name, mut value) = (Vec::new(), Vec::new());
        let mut fields_seen = false;
        while let Some(first) = input.peek() {
            if first & 0b1110_0000 == 0b0010_0000 {
                if fields_seen {
                    return Err(HpackError::UpdateTooLate);
                }
                self.resize(input.integer(5)?)?;
                continue;
            }
            fields_seen = true;
            if first & 0b1000_0000 != 0 {
                let (name, value) = self.entry(input.integer(7)?)?;
                each(Field { name, value, never_indexed: false });
                continue;
            }
            let indexed = first & 0b0100_0000 != 0;
            let index = input.integer(if indexed { 6 } else { 4 })?;
            name.clear();
            if index == 0 {
                input.string(&mut name)?;
            } else {
                name.extend_from_slice(self.entry(index)?.0);
            }
            value.clear();
            input.string(&mut value)?;
            each(Field { name: &name, value: &value, never_indexed: !indexed && first & 0b0001_0000 != 0 });
            if indexed {
                self.insert(&name, &value);
            }
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), HpackError> {
        let position = index.checked_sub(1).ok_or(HpackError::BadIndex(index))?;
        if let Some((name, value)) = STATIC_TABLE.get(position) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let dynamic = self.entries.get(position - STATIC_TABLE.len()).ok_or(HpackError::BadIndex(index))?;
        Ok((&dynamic.0, &dynamic.1))
    }

    fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = field_bytes(name, value);
        // An entry larger than the table empties it and is not stored (section 4.4).
        self.evict_to(self.size_max.saturating_sub(size));
        if size <= self.size_max {
            self.entries.push_front((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
            self.size += size;
        }
    }

    fn resize(&mut self, size_max: usize) -> Result<(), HpackError> {
        if size_max > TABLE_BYTES_MAX {
            return Err(HpackError::TableTooLarge(size_max));
        }
        self.size_max = size_max;
        self.evict_to(size_max);
        Ok(())
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size {
            // The size is the sum over the entries, so it is zero when there are none.
            let Some((name, value)) = self.entries.pop_back() else { break };
            self.size -= field_bytes(&name, &value);
        }
    }
}

/// Appends `field` as a literal with a literal name, which leaves every table as it is.
pub(super) fn encode_literal(field: Field<'_>, out: &mut BytesMut) {
    out.put_u8(if field.never_indexed { 0b0001_0000 } else { 0 });
    encode_string(field.name, out);
    encode_string(field.value, out);
}

/// What one field counts for, in tables and in limits (RFC 7541, section 4.1; RFC 9113, section 6.5.2).
pub(super) fn field_bytes(name: &[u8], value: &[u8]) -> usize {
    name.len() + value.len() + 32
}

fn encode_string(string: &[u8], out: &mut BytesMut) {
    let prefix_max = 0x7f;
    if string.len() < prefix_max {
        out.put_u8(string.len() as u8);
    } else {
        out.put_u8(prefix_max as u8);
        let mut rest = string.len() - prefix_max;
        while rest >= 0x80 {
            out.put_u8((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.put_u8(rest as u8);
    }
    out.extend_from_slice(string);
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn byte(&mut self) -> Result<u8, HpackError> {
        let (first, rest) = self.0.split_first().ok_or(HpackError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    /// Section 5.1, at most three continuation bytes: no length or index that we accept needs more.
    fn integer(&mut self, prefix_bits: u32) -> Result<usize, HpackError> {
        let prefix_max = (1_usize << prefix_bits) - 1;
        let mut number = usize::from(self.byte()?) & prefix_max;
        if number < prefix_max {
            return Ok(number);
        }
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(HpackError::IntegerOverflow)
    }

    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), HpackError> {
        let huffman_coded = self.peek().ok_or(HpackError::Truncated)? & 0x80 != 0;
        let length = self.integer(7)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(HpackError::Truncated)?;
        self.0 = rest;
        if huffman_coded {
            huffman::decode(string, out)
        } else {
            out.extend_from_slice(string);
            Ok(())
        }
    }
}

/// SETTINGS_HEADER_TABLE_SIZE's initial value, which our HTTP/2 server does not change (RFC 9113, section 6.5.2).
const TABLE_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn fields(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, HpackError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut fields = Vec::new();
        decoder.decode(block, |field| fields.push((text(field.name), text(field.value))))?;
        Ok(fields)
    }

    fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// RFC 7541, appendix C.4: three requests on one connection, Huffman-coded.
    #[test]
    fn follows_the_dynamic_table_over_the_requests_of_the_rfc() {
        let mut decoder = Decoder::new();
        let common = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
        let first = fields(&mut decoder, &bytes("828684418cf1e3c2e5f23a6ba0ab90f4ff")).unwrap();
        assert_eq!(first, owned(&common));
        let second = fields(&mut decoder, &bytes("828684be5886a8eb10649cbf")).unwrap();
        assert_eq!(second, owned(&[&common[..], &[("cache-control", "no-cache")]].concat()));
        let third = bytes("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf");
        let expected = [
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            (":authority", "www.example.com"),
            ("custom-key", "custom-value"),
        ];
        assert_eq!(fields(&mut decoder, &third).unwrap(), owned(&expected));
        assert_eq!(decoder.size, 164);
    }

    #[test]
    fn evicts_when_the_table_shrinks_and_when_an_entry_is_too_large() {
        let mut decoder = Decoder::new();
        fields(&mut decoder, &bytes("4001610162")).unwrap();
        assert_eq!((decoder.entries.len(), decoder.size), (1, 34));
        fields(&mut decoder, &bytes("20 3f e1 1f")).unwrap();
        assert_eq!((decoder.entries.len(), decoder.size, decoder.size_max), (0, 0, 4096));
        fields(&mut decoder, &bytes("4001610162")).unwrap();
        let large = [&bytes("400161 7f 81 1f")[..], &[b'x'; 0x7f + 0xf81]].concat();
        fields(&mut decoder, &large).unwrap();
        assert_eq!((decoder.entries.len(), decoder.size), (0, 0));
    }

    #[test]
    fn refuses_what_the_rfc_forbids() {
        let cases = [
            ("80", HpackError::BadIndex(0)),
            ("be", HpackError::BadIndex(62)),
            ("82 20", HpackError::UpdateTooLate),
            ("3f e2 1f", HpackError::TableTooLarge(4097)),
            ("ff ff ff ff", HpackError::IntegerOverflow),
            ("40 05 61", HpackError::Truncated),
            ("40", HpackError::Truncated),
            ("0f", HpackError::Truncated),
        ];
        for (block, error) in cases {
            assert_eq!(fields(&mut Decoder::new(), &bytes(block)), Err(error), "{block}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_keeps_its_bound(blocks in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..300), 1..5,
        )) {
            let mut decoder = Decoder::new();
            for block in blocks {
                let _ = decoder.decode(&block, |_| {});
                prop_assert!(decoder.size <= TABLE_BYTES_MAX);
            }
        }

        #[test]
        fn literals_come_back_as_they_were(list in proptest::collection::vec(
            (
                proptest::collection::vec(any::<u8>(), 0..200),
                proptest::collection::vec(any::<u8>(), 0..20_000),
                any::<bool>(),
            ),
            0..4,
        )) {
            let mut block = BytesMut::new();
            for (name, value, never_indexed) in &list {
                encode_literal(Field { name, value, never_indexed: *never_indexed }, &mut block);
            }
            let mut decoded = Vec::new();
            let mut decoder = Decoder::new();
            decoder
                .decode(&block, |field| decoded.push((field.name.to_vec(), field.value.to_vec(), field.never_indexed)))
                .unwrap();
            prop_assert_eq!(decoded, list);
            prop_assert!(decoder.entries.is_empty());
        }
    }
}
