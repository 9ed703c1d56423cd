//! SPIFFE IDs and trust domains, valid by construction (SPIFFE-ID standard, sections 2.1 to 2.3).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a SPIFFE ID. The texts are those of go-spiffe, because clients and scripts match on them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    #[error("cannot be empty")]
    Empty,
    #[error("trust domain is missing")]
    MissingTrustDomain,
    #[error("scheme is missing or invalid")]
    WrongScheme,
    #[error("trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores")]
    BadTrustDomainChar,
    #[error("path segment characters are limited to letters, numbers, dots, dashes, and underscores")]
    BadPathSegmentChar,
    #[error("path cannot contain dot segments")]
    DotSegment,
    #[error("path cannot contain empty segments")]
    EmptySegment,
    #[error("path must have a leading slash")]
    NoLeadingSlash,
    #[error("path cannot have a trailing slash")]
    TrailingSlash,
    #[error("SPIFFE ID is longer than 2048 bytes")]
    TooLong,
    #[error("trust domain is longer than 255 bytes")]
    TrustDomainTooLong,
}

/// A trust domain name such as `example.org`, at most 255 bytes of `[a-z0-9._-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

/// A SPIFFE ID such as `spiffe://example.org/web`; the path is empty for a trust domain's own ID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// The whole text, scheme included.
    text: Arc<str>,
    /// Where the path begins in `text`.
    path_start: u16,
}

impl TrustDomain {
    /// Accepts a bare name or any SPIFFE ID in that trust domain, as go-spiffe's `TrustDomainFromString` does.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::MissingTrustDomain);
        }
        if text.contains(":/") {
            return Ok(SpiffeId::parse(text)?.trust_domain());
        }
        Self::from_name(text)
    }

    /// Accepts a bare name only.
    pub fn from_name(name: &str) -> Result<Self, IdError> {
        check_trust_domain(name)?;
        Ok(Self(name.into()))
    }

    /// The bare name, without a scheme.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The trust domain's own SPIFFE ID, which has no path.
    pub fn id(&self) -> SpiffeId {
        SpiffeId::assemble(&self.0, "")
    }

    /// `path` is empty or begins with a slash.
    pub fn member(&self, path: &str) -> Result<SpiffeId, IdError> {
        SpiffeId::from_parts(self, path)
    }

    /// `spiffe://<td>/spire/server`, the identity that agents require of every server.
    pub fn server_id(&self) -> SpiffeId {
        SpiffeId::assemble(&self.0, "/spire/server")
    }
}

impl SpiffeId {
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(IdError::WrongScheme)?;
        let (name, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        check_trust_domain(name)?;
        check_path(path)?;
        check_length(text.len())?;
        Ok(Self { text: text.into(), path_start: (SCHEME.len() + name.len()) as u16 })
    }

    /// `path` is empty or begins with a slash.
    pub fn from_parts(trust_domain: &TrustDomain, path: &str) -> Result<Self, IdError> {
        check_path(path)?;
        check_length(SCHEME.len() + trust_domain.name().len() + path.len())?;
        Ok(Self::assemble(&trust_domain.0, path))
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Empty, or begins with a slash.
    pub fn path(&self) -> &str {
        &self.text[usize::from(self.path_start)..]
    }

    pub fn trust_domain(&self) -> TrustDomain {
        TrustDomain(self.trust_domain_name().into())
    }

    pub fn trust_domain_name(&self) -> &str {
        &self.text[SCHEME.len()..usize::from(self.path_start)]
    }

    pub fn is_member_of(&self, trust_domain: &TrustDomain) -> bool {
        self.trust_domain_name() == trust_domain.name()
    }

    /// Whether this ID lies below `/spire/agent/`, the paths that node attestation hands out.
    pub fn is_agent(&self) -> bool {
        self.path().starts_with("/spire/agent/")
    }

    /// Whether this is `/spire` or below it, which registration entries may not claim.
    pub fn is_reserved(&self) -> bool {
        self.path() == "/spire" || self.path().starts_with("/spire/")
    }

    fn assemble(name: &str, path: &str) -> Self {
        Self { text: format!("{SCHEME}{name}{path}").into(), path_start: (SCHEME.len() + name.len()) as u16 }
    }
}

impl FromStr for TrustDomain {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

impl FromStr for SpiffeId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustDomain({})", self.0)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffeId({})", self.text)
    }
}

fn check_trust_domain(name: &str) -> Result<(), IdError> {
    if name.is_empty() {
        return Err(IdError::MissingTrustDomain);
    }
    if name.len() > TRUST_DOMAIN_BYTES_MAX {
        return Err(IdError::TrustDomainTooLong);
    }
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
    if name.bytes().all(allowed) { Ok(()) } else { Err(IdError::BadTrustDomainChar) }
}

fn check_path(path: &str) -> Result<(), IdError> {
    if path.is_empty() {
        return Ok(());
    }
    let mut segments = path.strip_prefix('/').ok_or(IdError::NoLeadingSlash)?.split('/').peekable();
    // The first fault from the left is told, as go-spiffe does.
    while let Some(segment) = segments.next() {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if !segment.bytes().all(allowed) {
            return Err(IdError::BadPathSegmentChar);
        }
        match segment {
            "" if segments.peek().is_none() => return Err(IdError::TrailingSlash),
            "" => return Err(IdError::EmptySegment),
            "." | ".." => return Err(IdError::DotSegment),
            _ => {}
        }
    }
    Ok(())
}

fn check_length(bytes: usize) -> Result<(), IdError> {
    if bytes > ID_BYTES_MAX { Err(IdError::TooLong) } else { Ok(()) }
}

const SCHEME: &str = "spiffe://";
/// SPIFFE-ID standard, section 2.3: implementations must support, and may refuse beyond, 2048 bytes.
const ID_BYTES_MAX: usize = 2048;
/// SPIFFE-ID standard, section 2.3.
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_the_standard_allows() {
        let id = SpiffeId::parse("spiffe://example.org/ns/web-1/a_b.c").unwrap();
        assert_eq!(id.path(), "/ns/web-1/a_b.c");
        assert_eq!(id.trust_domain_name(), "example.org");
        assert_eq!(SpiffeId::parse("spiffe://td").unwrap().path(), "");
        assert_eq!(TrustDomain::parse("spiffe://td/x").unwrap().name(), "td");
    }

    #[test]
    fn refuses_what_the_standard_forbids() {
        let cases = [
            ("", IdError::Empty),
            ("http://td/x", IdError::WrongScheme),
            ("SPIFFE://td/x", IdError::WrongScheme),
            ("spiffe:///x", IdError::MissingTrustDomain),
            ("spiffe://TD/x", IdError::BadTrustDomainChar),
            ("spiffe://td:80/x", IdError::BadTrustDomainChar),
            ("spiffe://u@td/x", IdError::BadTrustDomainChar),
            ("spiffe://td/", IdError::TrailingSlash),
            ("spiffe://td/x/", IdError::TrailingSlash),
            ("spiffe://td//x", IdError::EmptySegment),
            ("spiffe://td//", IdError::EmptySegment),
            ("spiffe://td/../", IdError::DotSegment),
            ("spiffe://td/%41/", IdError::BadPathSegmentChar),
            ("spiffe://td/./x", IdError::DotSegment),
            ("spiffe://td/../x", IdError::DotSegment),
            ("spiffe://td/%41", IdError::BadPathSegmentChar),
            ("spiffe://td/x?q", IdError::BadPathSegmentChar),
        ];
        for (text, error) in cases {
            assert_eq!(SpiffeId::parse(text), Err(error), "{text}");
        }
        let long = format!("spiffe://td/{}", "a".repeat(2048));
        assert_eq!(SpiffeId::parse(&long), Err(IdError::TooLong));
    }

    /// The inputs of go-spiffe's own tests (v2.9.0, `spiffeid/id_test.go`), with its verdicts.
    #[test]
    fn every_input_that_go_spiffe_tests_has_its_verdict() {
        for accepted in
            ["trustdomain", "trustdomain/path", "trustdomain/.path", "trustdomain/..path", "trustdomain/..."]
        {
            let text = format!("spiffe://{accepted}");
            assert_eq!(SpiffeId::parse(&text).map(|id| id.to_string()).as_ref(), Ok(&text));
        }
        let refused = "s spiffe:/ Spiffe:// spiffe:// spiffe:/// spiffe://trustdomain/ spiffe://trustdomain// \
             spiffe://trustdomain//path spiffe://trustdomain/path/ spiffe://trustdomain/. spiffe://trustdomain/./path \
             spiffe://trustdomain/path/./other spiffe://trustdomain/path/.. spiffe://trustdomain/.. \
             spiffe://trustdomain/../path spiffe://trustdomain/path/../other spiffe://%F0%9F%A4%AF/path \
             spiffe://trustdomain/%F0%9F%A4%AF spiffe://%62%61%64/path spiffe://trustdomain/%62%61%64 \
             SPIFFE://trustdomain spiffe://trust$domain spiffe://trustdomain/path$";
        for text in refused.split_ascii_whitespace() {
            assert!(SpiffeId::parse(text).is_err(), "{text}");
        }
        for byte in 0..=u8::MAX {
            let byte = char::from(byte);
            let special = matches!(byte, '.' | '-' | '_');
            let in_name = byte.is_ascii_lowercase() || byte.is_ascii_digit() || special;
            assert_eq!(TrustDomain::from_name(&format!("trustdomain{byte}")).is_ok(), in_name, "{byte:?}");
            let named = SpiffeId::parse(&format!("spiffe://trustdomain{byte}/path"));
            assert_eq!(named.is_ok(), in_name, "{byte:?}");
            let path = SpiffeId::parse(&format!("spiffe://trustdomain/path{byte}"));
            assert_eq!(path.is_ok(), byte.is_ascii_alphanumeric() || special, "{byte:?}");
        }
    }
}
