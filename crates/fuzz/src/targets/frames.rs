//! Bytes that come before any message: HTTP/2 frames on a socket, PROXY headers.

use steeple_transport::authority::fuzzing::rewrite;
use steeple_transport::proxy::{parse_v1, parse_v2};

use super::text;
use crate::{Verdict, within};

/// However a client's bytes are cut, the same goes on to the HTTP/2 server; and where no authority is replaced, that is
/// what the client sent.
pub fn authority(data: &[u8]) -> Verdict {
    let input = [PREFACE, data].concat();
    // A header block may take its table, a copy of itself and its fields.
    let (whole, error) = within(60, &input, || rewrite([input.as_slice()]));
    for piece_bytes in [1, 9, 64] {
        let (pieces, same_error) = rewrite(input.chunks(piece_bytes));
        assert_eq!(same_error, error, "in pieces of {piece_bytes}");
        // What goes on before the connection ends is as much as had come.
        assert!(
            if error.is_some() { pieces.starts_with(&whole) } else { pieces == whole },
            "in pieces of {piece_bytes}"
        );
    }
    let replaced = contains(&whole, b"localhost");
    assert!(replaced || input.starts_with(&whole), "changed without a reason");
    Verdict::read_if(replaced && error.is_none())
}

pub fn authority_seeds() -> Vec<Vec<u8>> {
    let socket = b"%2Ftmp%2Fapi.sock";
    // POST, http, a path, an authority that names a socket, all of it in one block.
    let block = [&[0x83, 0x86, 0x04, 0x04][..], b"/a/b", &[0x41, socket.len() as u8], socket].concat();
    let head = |kind: u8, flags: u8, stream: u8, length: usize| [0, 0, length as u8, kind, flags, 0, 0, 0, stream];
    let headers = [&head(1, 4, 1, block.len())[..], &block].concat();
    let (first, second) = block.split_at(6);
    let continued = [&head(1, 0, 1, first.len())[..], first, &head(9, 4, 1, second.len())[..], second].concat();
    let settings = head(4, 0, 0, 0).to_vec();
    vec![[settings.clone(), headers.clone()].concat(), [settings, continued, headers].concat()]
}

/// Both versions.
pub fn proxy_header(data: &[u8]) -> Verdict {
    let line = within(8, data, || parse_v1(data)).ok();
    let binary = data.split_first_chunk().and_then(|(head, rest)| within(8, data, || parse_v2(head, rest)).ok());
    assert!(line.is_none() || binary.is_none(), "one header of two versions");
    if let (Some(Some(source)), Some(line)) = (line, text(data)) {
        // Digits and no more: a number has one form, so that no two readers differ about it.
        assert!(line.contains(&format!(" {} ", source.port())), "{source} is not in {line}");
    }
    Verdict::of(line.or(binary))
}

pub fn proxy_header_seeds() -> Vec<Vec<u8>> {
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\x1f\x90\x1f\x91";
    vec![b"PROXY TCP4 10.0.0.1 10.0.0.2 5000 8081\r\n".to_vec(), v2.to_vec()]
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
