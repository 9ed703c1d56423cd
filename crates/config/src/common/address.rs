//! Network addresses as configurations write them.

use std::fmt;
use std::net::IpAddr;

/// A host name or IP address and a port. IPv6 addresses are kept without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

/// A network such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub address: IpAddr,
    pub prefix_bits: u8,
}

impl HostPort {
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into().trim_matches(['[', ']']).to_owned(), port }
    }

    /// Reads `host:port`, `[v6]:port`, or, with a default port, a bare host. The error says what is wrong with `text`.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, String> {
        let bare_ipv6 = text.parse::<std::net::Ipv6Addr>().is_ok();
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !bare_ipv6 && !port.ends_with(']') => {
                let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
                (host, Some(port))
            }
            _ => (text, None),
        };
        let port = port.or(default_port).ok_or_else(|| format!("{text:?} has no port"))?;
        let host = host.trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(format!("{text:?} has no host"));
        }
        if host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(format!("{host:?} is not an IPv6 address"));
        }
        if host.contains(['/', ' ']) {
            return Err(format!("{text:?} is not of the form host:port"));
        }
        if port == 0 {
            return Err(format!("{text:?} names port 0"));
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// Whether this means "every local address".
    pub fn is_unspecified(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

impl Cidr {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        if prefix.starts_with('+') {
            return None;
        }
        let prefix_bits = prefix.parse().ok().filter(|bits| *bits <= bits_max)?;
        Some(Self { address, prefix_bits })
    }

    pub fn contains(&self, other: IpAddr) -> bool {
        let shift = |width: u32| width - u32::from(self.prefix_bits).min(width);
        match (self.address, other) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(shift(32)).unwrap_or(0);
                u32::from(net) & mask == u32::from(ip) & mask
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(shift(128)).unwrap_or(0);
                u128::from(net) & mask == u128::from(ip) & mask
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port() {
        let parse = |text| HostPort::parse(text, None).map(|address| address.to_string());
        assert_eq!(parse("server-1:8081"), Ok("server-1:8081".into()));
        assert_eq!(parse("[::1]:8081"), Ok("[::1]:8081".into()));
        assert_eq!(HostPort::parse("::1", Some(7)).unwrap().to_string(), "[::1]:7");
        assert_eq!(HostPort::parse("a", Some(7)).unwrap().to_string(), "a:7");
        for bad in ["server-1", ":8081", "a:b", "a:0", "a:70000", "https://a:1", "a:1:2"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks() {
        let net = Cidr::parse("10.1.0.0/16").unwrap();
        assert!(net.contains("10.1.2.3".parse().unwrap()) && !net.contains("10.2.0.1".parse().unwrap()));
        assert!(Cidr::parse("0.0.0.0/0").unwrap().contains("1.2.3.4".parse().unwrap()));
        assert!(Cidr::parse("::/0").unwrap().contains("::1".parse().unwrap()));
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/+8", "::/129"] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
    }
}
