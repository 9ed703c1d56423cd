//! The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: symbols of one length have consecutive codes, in the order of the symbols, and shorter codes
//! come first. So the lengths say everything, and decoding needs no tree.

use super::hpack::HpackError;

/// Appends the decoded `source` to `out`.
pub(super) fn decode(source: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let (mut code, mut bits) = (0_u32, 0_usize);
    for byte in source {
        for position in (0..8).rev() {
            code = (code << 1) | u32::from((byte >> position) & 1);
            bits += 1;
            // Canonical: a code of this length is a symbol when it lies below the first code of the next lengths.
            if let Some(offset) = code.checked_sub(CODES.first[bits])
                && (offset as usize) < CODES.count[bits]
            {
                let symbol = CODES.symbols[CODES.start[bits] + offset as usize];
                out.push(u8::try_from(symbol).map_err(|_| HpackError::EndOfStringSymbol)?);
                (code, bits) = (0, 0);
            } else if bits == CODE_BITS_MAX {
                return Err(HpackError::BadHuffman);
            }
        }
    }
    // What is left over must be padding: fewer than 8 bits, all ones.
    if bits >= 8 || code != (1 << bits) - 1 { Err(HpackError::BadHuffman) } else { Ok(()) }
}

/// The canonical code, indexed by length in bits.
struct Codes {
    /// The first code of each length.
    first: [u32; CODE_BITS_MAX + 1],
    count: [usize; CODE_BITS_MAX + 1],
    /// Where the symbols of each length begin in `symbols`.
    start: [usize; CODE_BITS_MAX + 1],
    symbols: [u16; SYMBOLS],
}

static CODES: Codes = build();

const fn build() -> Codes {
    let mut codes = Codes {
        first: [0; CODE_BITS_MAX + 1],
        count: [0; CODE_BITS_MAX + 1],
        start: [0; CODE_BITS_MAX + 1],
        symbols: [0; SYMBOLS],
    };
    let (mut length, mut next, mut code) = (1, 0, 0_u32);
    while length <= CODE_BITS_MAX {
        code <<= 1;
        codes.first[length] = code;
        codes.start[length] = next;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                codes.symbols[next] = symbol as u16;
                next += 1;
            }
            symbol += 1;
        }
        codes.count[length] = next - codes.start[length];
        code += codes.count[length] as u32;
        length += 1;
    }
    codes
}

/// 256 bytes and the end-of-string symbol.
const SYMBOLS: usize = 257;
const CODE_BITS_MAX: usize = 30;

/// RFC 7541, appendix B: length in bits of each symbol's code.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
     6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,
     5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
    13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
     7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
    15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,
     6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(hex: &str) -> Result<Vec<u8>, HpackError> {
        let source: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let mut out = Vec::new();
        decode(&source, &mut out).map(|()| out)
    }

    /// RFC 7541, appendix C.4 and C.6.
    #[test]
    fn decodes_the_examples_of_the_rfc() {
        assert_eq!(decoded("f1e3c2e5f23a6ba0ab90f4ff").unwrap(), b"www.example.com");
        assert_eq!(decoded("a8eb10649cbf").unwrap(), b"no-cache");
        assert_eq!(decoded("25a849e95bb8e8b4bf").unwrap(), b"custom-value");
        assert_eq!(decoded("d07abe941054d444a8200595040b8166e082a62d1bff").unwrap(), b"Mon, 21 Oct 2013 20:13:21 GMT");
        assert_eq!(decoded("").unwrap(), b"");
    }

    #[test]
    fn refuses_bad_padding_and_the_end_of_string_symbol() {
        assert_eq!(decoded("f1e3c2e5f23a6ba0ab90f4fe"), Err(HpackError::BadHuffman), "padding with a zero");
        assert_eq!(decoded("a8eb10649cbfff"), Err(HpackError::BadHuffman), "padding of a whole byte");
        assert_eq!(decoded("ffffffff"), Err(HpackError::EndOfStringSymbol));
    }

    #[test]
    fn the_code_is_complete() {
        let kraft: u64 = LENGTHS.iter().map(|length| 1_u64 << (CODE_BITS_MAX - usize::from(*length))).sum();
        assert_eq!(kraft, 1 << CODE_BITS_MAX);
    }
}
