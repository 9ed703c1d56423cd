//! `keys.json`, the file of SPIRE's disk key manager: private keys by name, as PKCS#8 in Base64.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use steeple_ca::SigningKey;
use steeple_core::{KeyType, Secret};
use zeroize::Zeroizing;

use crate::KeyFileError;

/// The keys of one server.
#[derive(Debug)]
pub struct KeyFile {
    pub keys: Vec<StoredKey>,
}

#[derive(Debug)]
pub struct StoredKey {
    /// SPIRE's name for it, such as `x509-CA-A`.
    pub id: String,
    pub pkcs8: Secret,
    pub key_type: KeyType,
    /// PKIX DER.
    pub public_key: Vec<u8>,
}

/// Two slots of each kind take about 8 KiB with the longest keys.
const FILE_BYTES_MAX: usize = 1 << 20;

#[derive(Deserialize)]
struct Document {
    keys: BTreeMap<String, Zeroizing<String>>,
}

impl KeyFile {
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
        // Reserved at once: a vector that grows would leave copies of the keys behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
        let file = File::open(path).map_err(failed)?;
        file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(KeyFileError::TooLong { path: path.to_owned(), bytes_max: FILE_BYTES_MAX });
        }
        Self::parse(path, &bytes)
    }

    /// `path` is for the errors.
    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, KeyFileError> {
        let document: Document = serde_json::from_slice(bytes).map_err(|error| KeyFileError::Json {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
        })?;
        let stored = |(id, text): (String, Zeroizing<String>)| {
            let unusable = || KeyFileError::Key { path: path.to_owned(), id: id.clone() };
            let pkcs8 = Secret::new(STANDARD.decode(text.as_bytes()).map_err(|_| unusable())?);
            let key = SigningKey::from_pkcs8(&pkcs8).map_err(|_| unusable())?;
            let (key_type, public_key) = (key.key_type(), key.public_key().spki().to_vec());
            Ok(StoredKey { id, pkcs8, key_type, public_key })
        };
        Ok(Self { keys: document.keys.into_iter().map(stored).collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use steeple_ca::generate_pkcs8;

    use super::*;

    fn parse(text: &str) -> Result<KeyFile, String> {
        KeyFile::parse(Path::new("keys.json"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_by_name() {
        let pkcs8 = generate_pkcs8(KeyType::EcP384).unwrap();
        let text = format!("{{\"keys\": {{\"x509-CA-A\": \"{}\"}}}}", STANDARD.encode(pkcs8.expose()));
        let file = parse(&text).unwrap();
        assert_eq!((file.keys[0].id.as_str(), file.keys[0].key_type), ("x509-CA-A", KeyType::EcP384));
        assert!(!format!("{file:?}").contains(&STANDARD.encode(&pkcs8.expose()[..6])));
        assert!(parse("{\"keys\": {}}").unwrap().keys.is_empty());
    }

    #[test]
    fn damage_is_named_and_never_shown() {
        let cases = [
            ("", "line 1"),
            ("{\"keys\": {\"x509-CA-A\": \"canary", "line 1"),
            ("{\"keys\": [1]}", "no keys.json"),
            ("{\"keys\": {\"x509-CA-A\": \"canary!\"}}", "\"x509-CA-A\""),
            ("{\"keys\": {\"JWT-Signer-B\": \"Y2FuYXJ5\"}}", "\"JWT-Signer-B\""),
        ];
        for (text, part) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part) && !error.contains("canary") && !error.contains("Y2Fu"), "{error}");
        }
    }
}
