//! `spire.plugin.agent.keymanager.v1.KeyManager`: keys that never leave the plugin.

use std::sync::Arc;

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, digest};
use steeple_api::external::keymanager::key_manager_client::KeyManagerClient;
use steeple_api::external::keymanager::sign_data_request::{PssOptions, SignerOpts};
use steeple_api::external::keymanager::{
    GenerateKeyRequest, GetPublicKeysRequest, HashAlgorithm, KeyType as WireKeyType, PublicKey, SignDataRequest,
};
use steeple_ca::{PublicKey as ParsedKey, PublicKeyKind};
use steeple_core::KeyType;
use steeple_core::plugin::{BoxFuture, KeyElsewhere, KeyError, KeyManager, PrivateKey, RsaPadding};
use steeple_transport::serve::MESSAGE_BYTES_MAX;
use tokio::runtime::Handle;
use tonic::Status;
use tonic::transport::Channel;

use super::Plugin;
use super::plugin::go_text;

pub struct ExternalKeyManager {
    plugin: Arc<Plugin>,
    /// Where futures run: handshakes are signed where there are none.
    runtime: Handle,
}

impl ExternalKeyManager {
    pub const INTERFACE: &'static str = "spire.plugin.agent.keymanager.v1.KeyManager";

    /// Within a runtime of several threads.
    pub fn new(plugin: Arc<Plugin>) -> Self {
        Self { plugin, runtime: Handle::current() }
    }

    /// The texts are SPIRE's.
    fn key(&self, id: &str, found: Option<PublicKey>) -> Result<PrivateKey, KeyError> {
        let fault = |message: String| failed(&self.plugin.internal(&message));
        let Some(found) = found else { return Err(fault(format!("plugin response empty for key {id:?}"))) };
        if found.id != id {
            return Err(fault(format!("plugin response has unexpected key id {:?} for key {id:?}", found.id)));
        }
        let parsed = ParsedKey::from_spki(&found.pkix_data)
            .map_err(|error| fault(format!("unable to parse public key PKIX data for key {id:?}: {error}")))?;
        let kind = match parsed.kind() {
            PublicKeyKind::EcP256 => KeyType::EcP256,
            PublicKeyKind::EcP384 => KeyType::EcP384,
            PublicKeyKind::Rsa { bits: 2048 } => KeyType::Rsa2048,
            PublicKeyKind::Rsa { bits: 4096 } => KeyType::Rsa4096,
            _ => return Err(fault(format!("key {id:?} is of a kind that agents do not use"))),
        };
        Ok(PrivateKey::Elsewhere(Arc::new(PluginKey {
            plugin: Arc::clone(&self.plugin),
            runtime: self.runtime.clone(),
            id: id.to_owned(),
            kind,
            public_key: found.pkix_data,
            fingerprint: found.fingerprint,
        })))
    }
}

impl KeyManager for ExternalKeyManager {
    fn generate<'a>(&'a self, id: &'a str, kind: KeyType) -> BoxFuture<'a, Result<PrivateKey, KeyError>> {
        Box::pin(async move {
            let key_type = match kind {
                KeyType::EcP256 => WireKeyType::EcP256,
                KeyType::EcP384 => WireKeyType::EcP384,
                KeyType::Rsa2048 => WireKeyType::Rsa2048,
                KeyType::Rsa4096 => WireKeyType::Rsa4096,
            };
            let request = GenerateKeyRequest { key_id: id.to_owned(), key_type: key_type.into() };
            let mut client = client(&self.plugin);
            let answer = self.plugin.call("GenerateKey", client.generate_key(request)).await;
            self.key(id, answer.map_err(|status| failed(&status))?.public_key)
        })
    }

    fn keys(&self) -> BoxFuture<'_, Result<Vec<(String, PrivateKey)>, KeyError>> {
        Box::pin(async move {
            let mut client = client(&self.plugin);
            let answer = self.plugin.call("GetPublicKeys", client.get_public_keys(GetPublicKeysRequest {})).await;
            let mut keys = Vec::new();
            for found in answer.map_err(|status| failed(&status))?.public_keys {
                let id = found.id.clone();
                match self.key(&id, Some(found)) {
                    Ok(key) => keys.push((id, key)),
                    // It may be somebody else's: agents with the key of a plugin do not own the plugin's.
                    Err(error) => tracing::warn!(key_id = id, %error, "A key of the KeyManager cannot be used"),
                }
            }
            Ok(keys)
        })
    }
}

/// One key of the plugin's.
struct PluginKey {
    plugin: Arc<Plugin>,
    runtime: Handle,
    id: String,
    kind: KeyType,
    public_key: Vec<u8>,
    /// Of the key that was there when this was made: another one under the same id is not this one.
    fingerprint: String,
}

impl PluginKey {
    async fn ask(&self, data: Vec<u8>, options: SignerOpts) -> Result<Vec<u8>, Status> {
        let request = SignDataRequest { key_id: self.id.clone(), data, signer_opts: Some(options) };
        let mut client = client(&self.plugin);
        let answer = self.plugin.call("SignData", client.sign_data(request)).await?;
        if answer.signature.is_empty() {
            return Err(self.plugin.internal("plugin returned empty signature data"));
        }
        if answer.key_fingerprint != self.fingerprint {
            return Err(self.plugin.internal(&format!(
                "fingerprint {:?} on key {:?} does not match {:?}",
                self.fingerprint, self.id, answer.key_fingerprint
            )));
        }
        Ok(answer.signature)
    }
}

impl KeyElsewhere for PluginKey {
    fn kind(&self) -> KeyType {
        self.kind
    }

    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn sign(&self, message: &[u8], padding: RsaPadding) -> Result<Vec<u8>, KeyError> {
        let (algorithm, hash): (&'static Algorithm, _) = match self.kind {
            KeyType::EcP384 => (&SHA384, HashAlgorithm::Sha384),
            KeyType::EcP256 | KeyType::Rsa2048 | KeyType::Rsa4096 => (&SHA256, HashAlgorithm::Sha256),
        };
        let options = match (self.kind, padding) {
            (KeyType::Rsa2048 | KeyType::Rsa4096, RsaPadding::Pss) => {
                SignerOpts::PssOptions(PssOptions { salt_length: AS_THE_HASH, hash_algorithm: hash.into() })
            }
            _ => SignerOpts::HashAlgorithm(hash.into()),
        };
        let data = digest(algorithm, message).as_ref().to_vec();
        let signed = tokio::task::block_in_place(|| self.runtime.block_on(self.ask(data, options)));
        signed.map_err(|status| failed(&status))
    }
}

fn client(plugin: &Plugin) -> KeyManagerClient<Channel> {
    KeyManagerClient::new(plugin.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

fn failed(status: &Status) -> KeyError {
    KeyError(go_text(status))
}

/// Go's `rsa.PSSSaltLengthEqualsHash`, which its TLS asks for.
const AS_THE_HASH: i32 = -1;
