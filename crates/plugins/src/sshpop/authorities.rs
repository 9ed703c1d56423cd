//! Keys that may sign host certificates, in the format of `authorized_keys`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::public_key::{KeyError, PublicKey};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities(Vec<(Vec<u8>, PublicKey)>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    #[error("must provide at least one cert authority")]
    None,
    #[error("failed to parse public key {line:?}: {why}")]
    Line { line: String, why: String },
}

impl Authorities {
    /// One key on each line: options, if any, then algorithm, base64 and comment.
    pub fn parse<'l>(lines: impl IntoIterator<Item = &'l str>) -> Result<Self, AuthoritiesError> {
        let mut keys = Vec::new();
        for line in lines {
            let bad = |why: String| AuthoritiesError::Line { line: line.to_owned(), why };
            let key = key_on(line).map_err(|error| bad(error.to_string()))?;
            keys.push(key.ok_or_else(|| bad("ssh: no key found".to_owned()))?);
        }
        if keys.is_empty() { Err(AuthoritiesError::None) } else { Ok(Self(keys)) }
    }

    pub(super) fn find(&self, blob: &[u8]) -> Option<&PublicKey> {
        self.0.iter().find(|(known, _)| known == blob).map(|(_, key)| key)
    }
}

/// The first field that is the base64 of a key of the algorithm that the field before it names.
fn key_on(line: &str) -> Result<Option<(Vec<u8>, PublicKey)>, KeyError> {
    let line = line.trim();
    if line.starts_with('#') {
        return Ok(None);
    }
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    for pair in fields.windows(2) {
        let Ok(blob) = STANDARD.decode(pair[1]) else { continue };
        // The length of the algorithm, and the algorithm.
        if blob.get(4..4 + pair[0].len()) == Some(pair[0].as_bytes()) {
            let key = PublicKey::parse(&blob)?;
            return Ok(Some((blob, key)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From SPIRE's page of the plugin.
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEAWPAsKJ/qMYUIBeH7BLMRCE/bkUvMHX+7OZhANk45S";

    #[test]
    fn keys_stand_with_or_without_options_and_comments() {
        let with_comment = format!("{KEY} root@ca with blanks");
        let with_options = format!("cert-authority,principals=\"a b\" {KEY}");
        for line in [KEY, &with_comment, &with_options] {
            assert_eq!(Authorities::parse([line]), Authorities::parse([KEY]), "{line}");
        }
        assert_eq!(Authorities::parse([KEY, &with_comment]).unwrap().0.len(), 2);
    }

    #[test]
    fn what_is_no_key_is_named() {
        assert_eq!(Authorities::parse([]), Err(AuthoritiesError::None));
        for line in ["# comment", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-dss AAAAB3NzaC1kc3MAAAAA"] {
            let error = Authorities::parse([line]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("failed to parse public key {line:?}: ssh: ")), "{error}");
        }
    }
}
