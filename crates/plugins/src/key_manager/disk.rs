//! `keys.json`, compatible with SPIRE's: `{"keys": {"<id>": "<base64 PKCS#8>"}}`, mode 0600.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use steeple_core::plugin::{BoxFuture, KeyError, KeyManager, PrivateKey};
use steeple_core::{KeyType, Secret};
use steeple_files::write_private_file;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::generate_pkcs8;

pub struct DiskKeys {
    path: PathBuf,
    keys: Mutex<BTreeMap<String, Secret>>,
}

#[derive(Serialize, Deserialize)]
struct KeysFile {
    #[serde(default)]
    keys: BTreeMap<String, Zeroizing<String>>,
}

impl DiskKeys {
    /// Reads `<directory>/keys.json`; a missing file is an empty store, an unreadable one an error.
    pub fn open(directory: &Path) -> Result<Self, KeyError> {
        let path = directory.join(FILE_NAME);
        let keys = match fs::read(&path).map(Zeroizing::new) {
            Ok(text) => parse(&text).map_err(|why| {
                KeyError(format!("{}: {why}; remove the file, and the agent attests anew", path.display()))
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(KeyError(format!("{}: {error}", path.display()))),
        };
        Ok(Self { path, keys: Mutex::new(keys) })
    }
}

impl KeyManager for DiskKeys {
    fn generate<'a>(&'a self, id: &'a str, kind: KeyType) -> BoxFuture<'a, Result<PrivateKey, KeyError>> {
        Box::pin(async move {
            let key = generate_pkcs8(kind)?;
            let mut keys = self.keys.lock().await;
            let replaced = keys.insert(id.to_owned(), key.duplicate());
            if let Err(error) = write(&self.path, &keys) {
                // The file still holds the key that was there before, so memory must too.
                match replaced {
                    Some(old) => keys.insert(id.to_owned(), old),
                    None => keys.remove(id),
                };
                return Err(KeyError(error.to_string()));
            }
            Ok(key.into())
        })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<(String, PrivateKey)>, KeyError>> {
        Box::pin(async move {
            Ok(self.keys.lock().await.iter().map(|(id, key)| (id.clone(), key.duplicate().into())).collect())
        })
    }
}

pub(super) fn parse(text: &[u8]) -> Result<BTreeMap<String, Secret>, String> {
    let file: KeysFile = serde_json::from_slice(text).map_err(|error| format!("unable to decode keys: {error}"))?;
    file.keys
        .into_iter()
        .map(|(id, key)| match STANDARD.decode(key.as_bytes()) {
            Ok(der) => Ok((id, Secret::new(der))),
            Err(_) => Err(format!("unable to decode key {id:?}: not base64")),
        })
        .collect()
}

fn write(path: &Path, keys: &BTreeMap<String, Secret>) -> std::io::Result<()> {
    write_private_file(path, &to_text(keys)?)
}

pub(super) fn to_text(keys: &BTreeMap<String, Secret>) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    let encoded = keys.iter().map(|(id, key)| (id.clone(), Zeroizing::new(STANDARD.encode(key.expose())))).collect();
    serde_json::to_vec_pretty(&KeysFile { keys: encoded }).map(Zeroizing::new)
}

const FILE_NAME: &str = "keys.json";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn keys_survive_a_restart_with_mode_0600() {
        let dir = tempfile::tempdir().unwrap();
        let made = DiskKeys::open(dir.path()).unwrap().generate("agent-svid-A", KeyType::EcP256).await;
        let key = made.unwrap().into_secret().unwrap();
        let path = dir.path().join(FILE_NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = DiskKeys::open(dir.path()).unwrap().keys().await.unwrap();
        assert_eq!(again.len(), 1);
        let PrivateKey::Here(kept) = &again[0].1 else { panic!("it is here") };
        assert_eq!((again[0].0.as_str(), kept.expose()), ("agent-svid-A", key.expose()));
    }

    #[tokio::test]
    async fn a_failed_write_keeps_the_old_key() {
        let dir = tempfile::tempdir().unwrap();
        let store = DiskKeys::open(&dir.path().join("missing")).unwrap();
        let error = store.generate("agent-svid-A", KeyType::EcP256).await.unwrap_err();
        assert!(error.0.contains("keys.json"), "{error}");
        assert!(store.keys().await.unwrap().is_empty());
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), b"{").unwrap();
        assert!(DiskKeys::open(dir.path()).err().unwrap().0.contains("unable to decode keys"));
    }

    #[test]
    fn reads_what_spire_writes() {
        let text = br#"{"keys":{"agent-svid-A":"AQID"}}"#;
        assert_eq!(parse(text).unwrap()["agent-svid-A"].expose(), [1, 2, 3]);
    }
}
