//! Private keys of the web: each bound to the record that it stands in.

use steeple_ca::seal::{Keyring, RecordType, SealError};
use steeple_core::{SealedKey, Secret};
use steeple_state::WebKey;

pub fn seal_web_key(keyring: &Keyring, name: &WebKey, key: &Secret) -> Result<SealedKey, SealError> {
    let (record, id) = binding(name);
    keyring.seal(record, id, key)
}

pub fn open_web_key(keyring: &Keyring, name: &WebKey, sealed: &SealedKey) -> Result<Secret, SealError> {
    let (record, id) = binding(name);
    keyring.open(record, id, sealed)
}

fn binding(name: &WebKey) -> (RecordType, &str) {
    match name {
        WebKey::Account { directory_url } => (RecordType::AcmeAccountKey, directory_url),
        WebKey::Certificate { domain } => (RecordType::WebKey, domain),
    }
}
