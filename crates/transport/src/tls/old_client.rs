//! Clients of TLS 1.1 and older are told that it is their version. rustls would complain about the first extension that
//! they do not have, which sends people looking in the wrong place.

use std::io;

use tokio::net::TcpStream;

use super::farewell::farewell;

/// Looks at the beginning of the ClientHello, which stays to be read, and answers one that is too old.
pub(super) async fn refuse_old_client(io: &mut TcpStream) -> io::Result<()> {
    let mut hello = [0; HELLO_START_BYTES];
    let known = io.peek(&mut hello).await?;
    if known == hello.len() && is_too_old(&hello) {
        farewell(io, &PROTOCOL_VERSION_ALERT).await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "client speaks no TLS newer than 1.1"));
    }
    Ok(())
}

/// TLS 1.3 clients say 1.2 here, too (RFC 8446 section 4.1.2).
fn is_too_old(hello: &[u8; HELLO_START_BYTES]) -> bool {
    let (record_type, handshake_type) = (hello[0], hello[5]);
    let client_version = u16::from_be_bytes([hello[9], hello[10]]);
    record_type == HANDSHAKE_RECORD && handshake_type == CLIENT_HELLO && client_version < TLS_1_2
}

/// The record's header (5), the message's header (4) and the client's version (2).
const HELLO_START_BYTES: usize = 11;
const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const TLS_1_2: u16 = 0x0303;
/// A record of type 21 in TLS 1.0, two bytes: fatal (2), `protocol_version` (70) (RFC 5246 section 7.2).
const PROTOCOL_VERSION_ALERT: [u8; 7] = [21, 3, 1, 0, 2, 2, 70];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_version_of_a_client_hello_alone() {
        let hello =
            |record_type, handshake_type, minor| [record_type, 3, 1, 0, 200, handshake_type, 0, 0, 196, 3, minor];
        assert!(is_too_old(&hello(22, 1, 2)) && is_too_old(&hello(22, 1, 0)));
        assert!(!is_too_old(&hello(22, 1, 3)));
        assert!(!is_too_old(&hello(21, 1, 2)) && !is_too_old(&hello(22, 2, 2)));
    }
}
