//! What a request says about how the client reached us, behind proxies or not.

use http::header::HOST;
use http::{HeaderMap, Request};

/// The host and scheme that the client used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// As written: a name, perhaps with a port.
    pub host: String,
    pub is_https: bool,
}

impl Reached {
    /// `X-Forwarded-Host` and `X-Forwarded-Proto` (or `X-Forwarded-Scheme`, or `Forwarded`'s `proto`) win over the
    /// request itself, as in SPIRE: whoever exposes a plain listener puts a proxy before it that sets them.
    pub(crate) fn of<B>(request: &Request<B>, over_tls: bool) -> Self {
        let headers = request.headers();
        let own_host = || match request.uri().authority() {
            Some(authority) => authority.to_string(),
            None => text(headers, HOST.as_str()).unwrap_or_default().to_owned(),
        };
        let host = text(headers, "x-forwarded-host").map(str::to_owned).unwrap_or_else(own_host);
        let proto = text(headers, "x-forwarded-proto")
            .or_else(|| text(headers, "x-forwarded-scheme"))
            .or_else(|| text(headers, "forwarded").and_then(forwarded_proto));
        Self { host, is_https: over_tls || proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https")) }
    }

    /// The host without its port and brackets; all of it when it is not of the form `host:port`.
    pub(crate) fn domain(&self) -> &str {
        let Some((domain, port)) = self.host.rsplit_once(':') else { return &self.host };
        let bare = domain.strip_prefix('[').and_then(|domain| domain.strip_suffix(']'));
        match bare {
            _ if !port.bytes().all(|byte| byte.is_ascii_digit()) => &self.host,
            Some(bare) => bare,
            None if domain.contains(':') => &self.host,
            None => domain,
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().filter(|text| !text.is_empty())
}

/// RFC 7239, section 4: `for=192.0.2.60;proto=http;by=203.0.113.43`.
fn forwarded_proto(header: &str) -> Option<&str> {
    let first = header.split(',').next().unwrap_or_default();
    first.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("proto").then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(headers: &[(&str, &str)]) -> Reached {
        let request = headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        Reached::of(&request.body(()).unwrap(), false)
    }

    #[test]
    fn proxies_tell_how_they_were_reached() {
        let plain = reached(&[("host", "a.test:8080")]);
        assert_eq!((plain.domain(), plain.is_https), ("a.test", false));
        let proxied = reached(&[("host", "a.test"), ("x-forwarded-host", "b.test"), ("x-forwarded-proto", "HTTPS")]);
        assert_eq!((proxied.domain(), proxied.is_https), ("b.test", true));
        assert!(reached(&[("forwarded", "for=1.2.3.4; Proto=\"https\", for=5.6.7.8;proto=http")]).is_https);
        assert!(reached(&[("x-forwarded-scheme", "https")]).is_https);
        assert!(!reached(&[("forwarded", "for=1.2.3.4")]).is_https);
    }

    #[test]
    fn a_port_is_a_number() {
        for (host, domain) in [
            ("a.test:80\"x", "a.test:80\"x"),
            ("a.test:80:90", "a.test:80:90"),
            ("[::1]:80", "::1"),
            ("a.test:", "a.test"),
        ] {
            assert_eq!(reached(&[("host", host)]).domain(), domain);
        }
        assert_eq!(reached(&[]).domain(), "");
    }
}
