//! Names in the DNS that certificates are for.

use crate::ConfigError;
use crate::quote::go_quoted;

/// A host name in lower case, in ASCII.
pub(crate) fn check_domain(key: &'static str, domain: &str) -> Result<(), ConfigError> {
    if let Some(fault) = domain_fault(domain) {
        return Err(ConfigError::invalid(key, fault));
    }
    if domain.len() > 253 || !domain.split('.').all(|label| (1..=63).contains(&label.len())) {
        return Err(ConfigError::invalid(key, format!("domain {} is not a valid domain name", go_quoted(domain))));
    }
    Ok(())
}

/// What SPIRE's OIDC provider says of a name that is no key of its list of domains; lengths do not matter to it.
pub fn domain_fault(domain: &str) -> Option<String> {
    let quoted = go_quoted(domain);
    let is_allowed = |letter: char| !letter.is_ascii() || letter.is_ascii_alphanumeric() || "-.".contains(letter);
    if let Some(rune) = domain.chars().find(|letter| !is_allowed(*letter)) {
        let rune = u32::from(rune);
        return Some(format!("domain {quoted} is not a valid domain name: idna: disallowed rune U+{rune:04X}"));
    }
    let lower = domain.to_ascii_lowercase();
    let is_bad = |label: &&str| {
        let has_mark = label.as_bytes().get(2..4) == Some(b"--") && !label.starts_with("xn--");
        has_mark || label.starts_with('-') || label.ends_with('-')
    };
    if let Some(label) = lower.split('.').find(is_bad) {
        return Some(format!("domain {quoted} is not a valid domain name: idna: invalid label {}", go_quoted(label)));
    }
    (!domain.is_ascii() || lower != domain).then(|| format!("domain {quoted} must already be punycode encoded"))
}

/// The URL of an ACME server's directory; Let's Encrypt's without one.
pub(crate) fn acme_directory(key: &'static str, url: &str) -> Result<String, ConfigError> {
    if url.is_empty() {
        return Ok(LETS_ENCRYPT.to_owned());
    }
    if !url.to_ascii_lowercase().starts_with("https://") {
        let message = format!("{key} must use the HTTPS protocol; URL found: {}", go_quoted(url));
        return Err(ConfigError::invalid(key, message));
    }
    Ok(url.to_owned())
}

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_gos_idna() {
        assert_eq!(domain_fault("issuer.test"), None);
        assert_eq!(domain_fault(""), None, "no domain that is configured");
        let encoded = "must already be punycode encoded";
        for (domain, why) in [
            ("ISSUER.test", encoded),
            ("\u{e4}.test", encoded),
            ("a_b.test", "is not a valid domain name: idna: disallowed rune U+005F"),
            ("issuer.test:80:90", "is not a valid domain name: idna: disallowed rune U+003A"),
            ("-a.test", "is not a valid domain name: idna: invalid label \"-a\""),
            ("ab--c.test", "is not a valid domain name: idna: invalid label \"ab--c\""),
        ] {
            assert_eq!(domain_fault(domain), Some(format!("domain \"{domain}\" {why}")));
        }
        assert!(check_domain("domains", "a..b").is_err());
    }
}
