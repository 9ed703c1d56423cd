//! Keys that are gone when the process is.

use std::collections::BTreeMap;

use steeple_core::plugin::{BoxFuture, KeyError, KeyManager, PrivateKey};
use steeple_core::{KeyType, Secret};
use tokio::sync::Mutex;

use super::generate_pkcs8;

#[derive(Default)]
pub struct MemoryKeys {
    keys: Mutex<BTreeMap<String, Secret>>,
}

impl KeyManager for MemoryKeys {
    fn generate<'a>(&'a self, id: &'a str, kind: KeyType) -> BoxFuture<'a, Result<PrivateKey, KeyError>> {
        Box::pin(async move {
            let key = generate_pkcs8(kind)?;
            self.keys.lock().await.insert(id.to_owned(), key.duplicate());
            Ok(key.into())
        })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<(String, PrivateKey)>, KeyError>> {
        Box::pin(async move {
            Ok(self.keys.lock().await.iter().map(|(id, key)| (id.clone(), key.duplicate().into())).collect())
        })
    }
}
