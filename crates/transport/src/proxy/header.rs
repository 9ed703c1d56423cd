//! What a header says. Both parsers take a whole header and never read beyond it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why a connection is refused before TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    #[error("malformed PROXY header: {0}")]
    Malformed(&'static str),
    #[error("a PROXY header came from an address that is not trusted to send one")]
    Untrusted,
}

/// A line, its end included, of at most [`V1_BYTES_MAX`]. `None`: the proxy does not say whom it speaks for.
pub fn parse_v1(line: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    let malformed = Err(ProxyError::Malformed("version 1 has another form"));
    let Some(line) = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok()) else {
        return malformed;
    };
    let Some(rest) = line.strip_prefix("PROXY ") else { return malformed };
    // Whatever follows is to be ignored.
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Ok(None);
    }
    let parts: Vec<&str> = rest.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = parts[..] else { return malformed };
    let address = |text: &str| {
        let address: Option<IpAddr> = text.parse().ok();
        address.filter(|address| match family {
            "TCP4" => address.is_ipv4(),
            "TCP6" => address.is_ipv6(),
            _ => false,
        })
    };
    match (address(source), address(destination), port(source_port), port(destination_port)) {
        (Some(source), Some(_), Some(port), Some(_)) => Ok(Some(SocketAddr::new(source, port))),
        _ => malformed,
    }
}

/// Digits without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_plain = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| is_plain)
}

/// `head` and what follows it, of the length that [`v2_length`] tells. `None`: as in [`parse_v1`], or a health check.
pub fn parse_v2(head: &[u8; V2_HEAD_BYTES], rest: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    if !head.starts_with(&V2_SIGNATURE) {
        return Err(ProxyError::Malformed("version 2 has another signature"));
    }
    let (version, command) = (head[12] >> 4, head[12] & 0x0f);
    if version != 2 {
        return Err(ProxyError::Malformed("unknown version"));
    }
    match command {
        LOCAL => return Ok(None),
        PROXY => {}
        _ => return Err(ProxyError::Malformed("unknown command")),
    }
    let truncated = ProxyError::Malformed("addresses are truncated");
    // Source address, destination address, source port, destination port; then extensions, which tell nothing needed.
    match head[13] {
        TCP_OVER_IPV4 => {
            let addresses: &[u8; 12] = rest.first_chunk().ok_or(truncated)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            Ok(Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]))))
        }
        TCP_OVER_IPV6 => {
            let addresses: &[u8; 36] = rest.first_chunk().ok_or(truncated)?;
            let source: &[u8; 16] = addresses.first_chunk().ok_or(truncated)?;
            let port = u16::from_be_bytes([addresses[32], addresses[33]]);
            Ok(Some(SocketAddr::new(Ipv6Addr::from(*source).into(), port)))
        }
        UNSPECIFIED | UNIX_STREAM => Ok(None),
        _ => Err(ProxyError::Malformed("no TCP connection")),
    }
}

/// How many bytes follow the head of version 2.
pub(super) fn v2_length(head: &[u8; V2_HEAD_BYTES]) -> Result<usize, ProxyError> {
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > V2_REST_BYTES_MAX {
        return Err(ProxyError::Malformed("version 2 is too long"));
    }
    Ok(length)
}

/// The longest line of version 1, its end included.
pub const V1_BYTES_MAX: usize = 107;
pub const V2_HEAD_BYTES: usize = 16;
/// Addresses and extensions. Proxies send some 100 bytes of extensions; SPIRE takes as much.
const V2_REST_BYTES_MAX: usize = 4096;
const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> ([u8; V2_HEAD_BYTES], Vec<u8>) {
        let mut head = [0; V2_HEAD_BYTES];
        head[..12].copy_from_slice(&V2_SIGNATURE);
        (head[12], head[13]) = (0x20 | command, family);
        head[14..].copy_from_slice(&u16::try_from(rest.len()).unwrap().to_be_bytes());
        (head, rest.to_vec())
    }

    #[test]
    fn version_1_is_taken_as_the_specification_has_it() {
        let known = |text: &str| Ok(Some(text.parse().unwrap()));
        for (line, said) in [
            ("PROXY TCP4 10.1.2.3 127.0.0.1 12345 8081\r\n", known("10.1.2.3:12345")),
            ("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", known("[2001:db8::1]:0")),
            ("PROXY UNKNOWN\r\n", Ok(None)),
            ("PROXY UNKNOWN ffff::1 what ever\r\n", Ok(None)),
        ] {
            assert_eq!(parse_v1(line.as_bytes()), said, "{line}");
        }
        for line in [
            "",
            "\r\n",
            "PROXY\r\n",
            "PROXY TCP4 10.1.2.3 127.0.0.1 12345 8081",
            "PROXY TCP4 10.1.2.3 127.0.0.1 12345 8081\n",
            "PROXY TCP4 10.1.2.3 127.0.0.1 12345\r\n",
            "PROXY TCP4 10.1.2.3 127.0.0.1 12345 8081 1\r\n",
            "PROXY  TCP4 10.1.2.3 127.0.0.1 12345 8081\r\n",
            "PROXY TCP4 10.1.2.3 127.0.0.1 65536 8081\r\n",
            "PROXY TCP4 10.1.2.3 127.0.0.1 +1 8081\r\n",
            "PROXY TCP4 10.1.2.3 127.0.0.1 01 8081\r\n",
            "PROXY TCP4 10.1.2 127.0.0.1 1 8081\r\n",
            "PROXY TCP4 ::1 ::1 1 8081\r\n",
            "PROXY TCP6 10.1.2.3 127.0.0.1 1 8081\r\n",
            "PROXY UDP4 10.1.2.3 127.0.0.1 1 8081\r\n",
            "PROXY UNKNOWNS\r\n",
            "proxy TCP4 10.1.2.3 127.0.0.1 12345 8081\r\n",
        ] {
            assert!(parse_v1(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn version_2_is_taken_as_the_specification_has_it() {
        let v4 = [10, 1, 2, 3, 127, 0, 0, 1, 0x30, 0x39, 0x1f, 0x91];
        let (head, rest) = v2(PROXY, TCP_OVER_IPV4, &[&v4[..], &[4, 0, 1, 0]].concat());
        assert_eq!(v2_length(&head), Ok(16));
        assert_eq!(parse_v2(&head, &rest), Ok(Some("10.1.2.3:12345".parse().unwrap())), "extensions are skipped");
        let mut v6 = [0; 36];
        (v6[0], v6[1], v6[15], v6[33]) = (0x20, 0x01, 1, 7);
        let (head, rest) = v2(PROXY, TCP_OVER_IPV6, &v6);
        assert_eq!(parse_v2(&head, &rest), Ok(Some("[2001::1]:7".parse().unwrap())));
        for (command, family) in [(LOCAL, TCP_OVER_IPV4), (LOCAL, 0xff), (PROXY, UNSPECIFIED), (PROXY, UNIX_STREAM)] {
            let (head, rest) = v2(command, family, &[]);
            assert_eq!(parse_v2(&head, &rest), Ok(None));
        }
        for (command, family, rest) in [
            (PROXY, TCP_OVER_IPV4, &v4[..11]),
            (PROXY, TCP_OVER_IPV6, &v6[..35]),
            (PROXY, 0x12, &v4[..]),
            (2, TCP_OVER_IPV4, &v4[..]),
            (PROXY | 0x10, TCP_OVER_IPV4, &v4[..]),
        ] {
            let (head, rest) = v2(command, family, rest);
            assert!(parse_v2(&head, &rest).is_err(), "{head:?}");
        }
        let (head, _) = v2(PROXY, UNSPECIFIED, &[0; V2_REST_BYTES_MAX + 1]);
        assert!(v2_length(&head).is_err());
    }

    proptest! {
        #[test]
        fn version_1_says_what_was_written(source: SocketAddr, port: u16) {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!("PROXY {family} {0} {0} {1} {port}\r\n", source.ip(), source.port());
            prop_assert!(line.len() <= V1_BYTES_MAX);
            let said = parse_v1(line.as_bytes()).unwrap().unwrap();
            prop_assert_eq!((said.ip(), said.port()), (source.ip(), source.port()));
        }

        /// Near misses: a good line with some bytes changed says a valid address or is refused.
        #[test]
        fn garbage_is_no_address(
            changes in prop::collection::vec((0_usize..60, any::<u8>()), 0..4),
            garbage in prop::collection::vec(any::<u8>(), 0..200),
            head: [u8; V2_HEAD_BYTES],
        ) {
            let mut line = b"PROXY TCP4 10.1.2.3 127.0.0.1 12345 8081\r\n".to_vec();
            let length = line.len();
            for (at, byte) in changes {
                line[at % length] = byte;
            }
            if let Ok(Some(said)) = parse_v1(&line) {
                prop_assert!(String::from_utf8(line).unwrap().contains(&said.port().to_string()));
            }
            prop_assert!(parse_v1(&garbage).is_err());
            prop_assert!(parse_v2(&head, &garbage).is_err());
            let (mut signed, _) = v2(PROXY, TCP_OVER_IPV4, &[]);
            signed[12..].copy_from_slice(&head[12..]);
            let _ = (parse_v2(&signed, &garbage), v2_length(&signed));
        }
    }
}
