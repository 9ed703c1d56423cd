//! Names in the DNS that certificates are for.

use crate::ConfigError;
use crate::quote::go_quoted;

/// A host name in lower case, in ASCII. The texts are those of SPIRE's OIDC provider.
pub(crate) fn check_domain(key: &'static str, domain: &str) -> Result<(), ConfigError> {
    if !domain.is_ascii() {
        let message = format!("domain {} must already be punycode encoded", go_quoted(domain));
        return Err(ConfigError::invalid(key, message));
    }
    let is_label = |label: &str| {
        let edges = label.starts_with('-') || label.ends_with('-');
        let letters = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        (1..=63).contains(&label.len()) && !edges && letters
    };
    if domain.len() > 253 || !domain.split('.').all(is_label) {
        return Err(ConfigError::invalid(key, format!("domain {} is not a valid domain name", go_quoted(domain))));
    }
    Ok(())
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
