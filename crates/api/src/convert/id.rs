//! SPIFFE IDs and trust domains.

use steeple_core::{SpiffeId, TrustDomain};

use super::ConvertError;
use crate::types;

/// The trust domain may come bare or as `spiffe://…`; the path is empty or begins with a slash.
pub fn id_from_wire(id: Option<&types::Spiffeid>) -> Result<SpiffeId, ConvertError> {
    let id = id.ok_or_else(|| ConvertError::new("request must specify SPIFFE ID"))?;
    Ok(TrustDomain::parse(&id.trust_domain)?.member(&id.path)?)
}

pub fn id_to_wire(id: &SpiffeId) -> types::Spiffeid {
    types::Spiffeid { trust_domain: id.trust_domain_name().to_owned(), path: id.path().to_owned() }
}

/// A bare name or any SPIFFE ID in the trust domain.
pub fn trust_domain_from_wire(text: &str) -> Result<TrustDomain, ConvertError> {
    Ok(TrustDomain::parse(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(trust_domain: &str, path: &str) -> types::Spiffeid {
        types::Spiffeid { trust_domain: trust_domain.into(), path: path.into() }
    }

    #[test]
    fn the_trust_domain_may_carry_the_scheme() {
        for trust_domain in ["example.org", "spiffe://example.org"] {
            let parsed = id_from_wire(Some(&id(trust_domain, "/web"))).unwrap();
            assert_eq!(parsed.as_str(), "spiffe://example.org/web");
            assert_eq!(id_to_wire(&parsed), id("example.org", "/web"));
        }
    }

    #[test]
    fn texts_are_spires() {
        let bad_domain =
            "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores";
        let bad_path = "path segment characters are limited to letters, numbers, dots, dashes, and underscores";
        let cases = [
            (None, "request must specify SPIFFE ID"),
            (Some(id("", "/a")), "trust domain is missing"),
            (Some(id("Example.org", "/a")), bad_domain),
            (Some(id("example.org", "a")), "path must have a leading slash"),
            (Some(id("example.org", "/a/")), "path cannot have a trailing slash"),
            (Some(id("example.org", "/a/../b")), "path cannot contain dot segments"),
            (Some(id("example.org", "/a b")), bad_path),
        ];
        for (id, text) in cases {
            assert_eq!(id_from_wire(id.as_ref()).unwrap_err().message, text);
        }
    }
}
