//! The line that a plugin begins with: `1|1|unix|/tmp/plugin123|grpc|`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::bounds::HANDSHAKE_LINE_BYTES_MAX;
use super::launch_error::HandshakeError;

/// Where a plugin serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    /// On this machine: nothing guards the connection.
    Tcp(SocketAddr),
}

impl Address {
    /// From go-plugin's protocol: core version, API version, network, address, protocol, certificate, and whether
    /// connections can share a socket.
    pub(super) fn parse(line: &str) -> Result<Self, HandshakeError> {
        let parts: Vec<&str> = line.trim().split('|').collect();
        let [core, version, network, address, rest @ ..] = parts.as_slice() else {
            return Err(HandshakeError::Unrecognized(shown(line)));
        };
        if core.parse() != Ok(CORE_VERSION) {
            return Err(HandshakeError::CoreVersion(shown(core)));
        }
        if version.parse() != Ok(VERSION) {
            return Err(HandshakeError::Version(shown(version)));
        }
        let address = match *network {
            "unix" if !address.is_empty() => Self::Unix(PathBuf::from(address)),
            "tcp" => match address.parse::<SocketAddr>() {
                Ok(address) if address.ip().is_loopback() => Self::Tcp(address),
                _ => return Err(HandshakeError::Address(shown(&format!("{network} {address}")))),
            },
            other => return Err(HandshakeError::Address(shown(other))),
        };
        // Without it go-plugin takes net/rpc, which SPIRE does not speak.
        let protocol = rest.first().copied().unwrap_or("netrpc");
        if protocol != "grpc" {
            return Err(HandshakeError::Protocol(shown(protocol)));
        }
        if rest.get(1).is_some_and(|certificate| certificate.len() > CERTIFICATE_CHARS_MIN) {
            return Err(HandshakeError::Tls);
        }
        Ok(address)
    }
}

/// It may be anything at all.
fn shown(text: &str) -> String {
    text.trim().chars().take(SHOWN_CHARS_MAX).collect()
}

const CORE_VERSION: u32 = 1;
/// SPIRE's.
const VERSION: u32 = 1;
/// What is shorter is the "extra" data of old plugins (go-plugin behaviour).
const CERTIFICATE_CHARS_MIN: usize = 50;
const SHOWN_CHARS_MAX: usize = 200;
const _: () = assert!(SHOWN_CHARS_MAX < HANDSHAKE_LINE_BYTES_MAX);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plugin_tells_where_it_serves() {
        let unix = Ok(Address::Unix("/tmp/plugin1".into()));
        for line in ["1|1|unix|/tmp/plugin1|grpc", "1|1|unix|/tmp/plugin1|grpc|\n", " 1|1|unix|/tmp/plugin1|grpc||true"]
        {
            assert_eq!(Address::parse(line), unix, "{line}");
        }
        let tcp = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 1234)));
        assert_eq!(Address::parse("1|1|tcp|127.0.0.1:1234|grpc"), Ok(tcp));
    }

    #[test]
    fn lines_that_cannot_be_used_say_why() {
        use HandshakeError as E;
        let certificate = format!("1|1|unix|/x|grpc|{}", "A".repeat(51));
        let long = "x".repeat(1000);
        for (line, error) in [
            ("", E::Unrecognized(String::new())),
            ("hello", E::Unrecognized("hello".into())),
            (long.as_str(), E::Unrecognized("x".repeat(SHOWN_CHARS_MAX))),
            ("2|1|unix|/x|grpc", E::CoreVersion("2".into())),
            ("one|1|unix|/x|grpc", E::CoreVersion("one".into())),
            ("1|99|unix|/x|grpc", E::Version("99".into())),
            ("1|1|unix||grpc", E::Address("unix".into())),
            ("1|1|udp|127.0.0.1:1|grpc", E::Address("udp".into())),
            ("1|1|tcp|192.0.2.1:1|grpc", E::Address("tcp 192.0.2.1:1".into())),
            ("1|1|tcp|localhost:1|grpc", E::Address("tcp localhost:1".into())),
            ("1|1|unix|/x", E::Protocol("netrpc".into())),
            ("1|1|unix|/x|netrpc", E::Protocol("netrpc".into())),
            (certificate.as_str(), E::Tls),
        ] {
            assert_eq!(Address::parse(line), Err(error), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "\\PC{0,60}|[0-9|a-z:./]{0,60}") {
            let _ = Address::parse(&line);
        }
    }
}
