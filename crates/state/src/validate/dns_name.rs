//! DNS names of entries: ASCII, at most one wildcard as the whole first label. Texts and rules are SPIRE's, which allow
//! capitals and underscores; unlike SPIRE we refuse other punctuation, blanks and control characters.

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsNameError {
    #[error("name must be ascii")]
    NotAscii,
    #[error("too many wildcards")]
    TooManyWildcards,
    #[error("wildcard must be first label")]
    WildcardNotFirst,
    #[error("empty or only whitespace")]
    Empty,
    #[error("domain ends with dot")]
    TrailingDot,
    #[error("idna error\nidna: invalid label {0:?}")]
    InvalidLabel(String),
}

/// Checks one name, such as `web.example.org` or `*.example.org`.
pub fn dns_name(name: &str) -> Result<(), DnsNameError> {
    if !name.is_ascii() {
        return Err(DnsNameError::NotAscii);
    }
    let rest = match name.matches('*').count() {
        0 => name,
        1 => name.strip_prefix("*.").ok_or(DnsNameError::WildcardNotFirst)?,
        _ => return Err(DnsNameError::TooManyWildcards),
    };
    if rest.trim().is_empty() {
        return Err(DnsNameError::Empty);
    }
    if rest.ends_with('.') {
        return Err(DnsNameError::TrailingDot);
    }
    if rest.len() > NAME_BYTES_MAX {
        return Err(DnsNameError::InvalidLabel(rest.to_owned()));
    }
    match rest.split('.').find(|label| !is_label(label)) {
        None => Ok(()),
        Some("") => Err(DnsNameError::InvalidLabel(rest.to_owned())),
        Some(label) => Err(DnsNameError::InvalidLabel(label.to_owned())),
    }
}

/// Refuses a list in which a wildcard covers another name: which of the two a verifier picks would be chance.
pub fn no_wildcard_overlap(names: &[String]) -> Result<(), WildcardOverlap> {
    let wildcards: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("*.")).collect();
    let covered = |name: &&String| {
        !name.starts_with("*.") && name.split_once('.').is_some_and(|(_, parent)| wildcards.contains(&parent))
    };
    match names.iter().find(covered) {
        Some(name) => Err(WildcardOverlap(name.clone())),
        None => Ok(()),
    }
}

/// The name that a wildcard of the same list covers; SPIRE's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("name {0:?} overlaps with an existing wildcard name in the list: wildcard overlap")]
pub struct WildcardOverlap(pub String);

fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
        && (label.as_bytes().get(2..4) != Some(b"--") || is_punycode(label))
}

/// Hyphens in the third and fourth place mark an encoding, of which only Punycode exists (RFC 5891, 4.2.3.1); its
/// normal form is in small letters. What it decodes to is judged by what never changes, not by the tables of a Unicode
/// version: replicas of two builds must agree.
fn is_punycode(label: &str) -> bool {
    let Some(encoded) = label.strip_prefix("xn--").filter(|rest| !rest.bytes().any(|byte| byte.is_ascii_uppercase()))
    else {
        return false;
    };
    let decoded = idna::punycode::decode_to_string(encoded);
    decoded.is_some_and(|text| !text.is_ascii() && !text.chars().any(char::is_control))
}

/// RFC 1035, section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;
/// RFC 1035, section 2.3.4: 255 with the length bytes of the wire form.
const NAME_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_entries_may_carry() {
        let names = [
            "web",
            "a.example.org",
            "*.example.org",
            "Web.example.org",
            "a_b.c",
            "1.2",
            "xn--ls8h.org",
            "xn--bcher-kva",
            "abc--d",
        ];
        for name in names {
            assert_eq!(dns_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_that_they_may_not() {
        let texts = [
            ("", "empty or only whitespace"),
            ("  ", "empty or only whitespace"),
            ("*.", "empty or only whitespace"),
            ("a.", "domain ends with dot"),
            ("a.*.example.org", "wildcard must be first label"),
            ("*a.example.org", "wildcard must be first label"),
            ("*.*.example.org", "too many wildcards"),
            ("b\u{fc}cher.example", "name must be ascii"),
            ("a..b", "idna error\nidna: invalid label \"a..b\""),
        ];
        for (name, text) in texts {
            assert_eq!(dns_name(name).unwrap_err().to_string(), text, "{name}");
        }
        let long_label = "a".repeat(64);
        let long_name = "a.".repeat(127) + "a";
        let labels = [
            ".a",
            "-a",
            "a-",
            "a b",
            "a@b",
            "ab--c",
            "ab--",
            "xn--",
            "XN--ls8h",
            "xn--BCHER-kva",
            "xn--a",
            "xn--abc-",
            "xn--zzzzzz",
            "xn--99999999",
        ];
        for name in labels.into_iter().chain([long_label.as_str(), long_name.as_str()]) {
            assert!(matches!(dns_name(name), Err(DnsNameError::InvalidLabel(_))), "{name}");
        }
    }
}
