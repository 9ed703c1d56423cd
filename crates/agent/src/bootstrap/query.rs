//! What whoever hands out bundles over `trust_bundle_unix_socket` is told (SPIRE's query parameters).

use std::fmt::Write as _;

use super::{Attempt, Bootstrap};

pub(super) fn with_attempt(url: &str, bootstrap: &Bootstrap, attempt: Attempt) -> String {
    let parameters = [
        ("spiffe-trust-domain", bootstrap.trust_domain.name().to_owned()),
        ("spire-attest-mode", if attempt.again { "rebootstrap" } else { "bootstrap" }.to_owned()),
        ("spire-attest-start-time", attempt.started_at.to_string()),
        ("spire-connection-attempts", attempt.number.to_string()),
        ("spire-server-address", bootstrap.server.host.clone()),
        ("spire-server-port", bootstrap.server.port.to_string()),
    ];
    let mut full = url.split('#').next().unwrap_or(url).to_owned();
    for (name, value) in parameters {
        full.push(if full.contains('?') { '&' } else { '?' });
        full.push_str(name);
        full.push('=');
        for byte in value.bytes() {
            match byte {
                // RFC 3986, section 2.3.
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => full.push(char::from(byte)),
                // Writing to a String cannot fail.
                _ => drop(write!(full, "%{byte:02X}")),
            }
        }
    }
    full
}
