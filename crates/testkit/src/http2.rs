//! HTTP/2 as only an attacker writes it: frames by hand (RFC 9113), over whatever stream.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// RFC 9113, section 3.4, and no settings.
const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/// Written at once: a system call for each frame would flood nobody.
const BATCH_BYTES: usize = 64 * 1024;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block for a call of `path`, in the form that needs no table.
pub fn call(path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[short(text)], text.as_bytes()].concat();
    let usual = [("te", "trailers"), ("content-type", "application/grpc")];
    let headers = usual.iter().chain(headers).flat_map(|(name, value)| [vec![0], text(name), text(value)].concat());
    [&[0x83, 0x87, 0x04][..], &text(path), b"\x01\x09localhost"].concat().into_iter().chain(headers).collect()
}

/// The length of a text, in the form that has one byte.
fn short(text: &str) -> u8 {
    assert!(text.len() < 127, "a longer one has another form");
    text.len() as u8
}

/// The number of a client's nth stream.
pub fn stream(nth: u32) -> u32 {
    2 * nth + 1
}

/// Begins HTTP/2, writes `frames` for as long as the server takes them, and reads nothing meanwhile. Tells how many
/// bytes went out; where the server ends the connection, that is not all.
pub async fn flood(stream: &mut (impl AsyncWrite + Unpin), frames: impl Iterator<Item = Vec<u8>>) -> (usize, bool) {
    let (mut batch, mut written) = (BEGINNING.to_vec(), 0);
    for frame in frames {
        batch.extend_from_slice(&frame);
        if batch.len() < BATCH_BYTES {
            continue;
        }
        match stream.write_all(&batch).await {
            Ok(()) => written += batch.len(),
            Err(_) => return (written, false),
        }
        batch.clear();
    }
    let taken = stream.write_all(&batch).await.is_ok() && stream.flush().await.is_ok();
    (written + batch.len(), taken)
}

/// All that the server says until it ends the connection.
pub async fn heard(mut stream: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said).await {
        // It need not be polite about it.
        Err(error) if said.is_empty() => Err(error),
        _ => Ok(said),
    }
}
