//! `spire.plugin.server.upstreamauthority.v1.UpstreamAuthority`.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use steeple_api::external::types;
use steeple_api::external::upstreamauthority::upstream_authority_client::UpstreamAuthorityClient;
use steeple_api::external::upstreamauthority::{
    MintX509caRequest, MintX509caResponse, PublishJwtKeyRequest, PublishJwtKeyResponse,
};
use steeple_core::plugin::{BoxFuture, MintedX509Ca, UpstreamAuthority, UpstreamBundle, UpstreamError};
use steeple_core::{JwtAuthority, X509Authority};
use steeple_transport::serve::MESSAGE_BYTES_MAX;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::Plugin;
use super::bundle_publisher::jwt_key_to_wire;
use super::plugin::go_text;

/// What the plugin says of roots and keys after it has signed comes on a stream, which is followed until the next.
pub struct ExternalUpstreamAuthority {
    plugin: Arc<Plugin>,
    told: Arc<RwLock<Told>>,
    followed: parking_lot::Mutex<[Option<JoinHandle<()>>; 2]>,
}

#[derive(Default)]
struct Told {
    /// `None`: nothing yet.
    roots: Option<Vec<X509Authority>>,
    keys: Vec<JwtAuthority>,
}

impl ExternalUpstreamAuthority {
    pub const INTERFACE: &'static str = "spire.plugin.server.upstreamauthority.v1.UpstreamAuthority";

    pub fn new(plugin: Arc<Plugin>) -> Self {
        Self { plugin, told: Arc::default(), followed: Default::default() }
    }

    async fn mint(&self, csr: &[u8], preferred_ttl: Duration) -> Result<MintedX509Ca, UpstreamError> {
        let preferred_ttl = i32::try_from(preferred_ttl.as_secs()).unwrap_or(i32::MAX);
        let request = MintX509caRequest { csr: csr.to_vec(), preferred_ttl };
        let mut client = self.client();
        let answers = self.plugin.call("MintX509CAAndSubscribe", client.mint_x509ca_and_subscribe(request));
        let mut answers = answers.await.map_err(|status| self.failed(&status, MINT))?;
        let first = self.first("MintX509CAAndSubscribe", &mut answers, MINT).await?;
        let chain: Vec<Vec<u8>> = first.x509_ca_chain.iter().map(|certificate| certificate.asn1.clone()).collect();
        if chain.is_empty() {
            return Err(self.fault("plugin response missing X.509 CA chain"));
        }
        let roots = authorities(first.upstream_x509_roots);
        if roots.is_empty() {
            return Err(self.fault("plugin response missing upstream X.509 roots"));
        }
        let minted = MintedX509Ca { chain, roots: roots.iter().map(|root| root.der.clone()).collect() };
        self.write(|told| told.roots = Some(roots));
        let (told, prefix) = (Arc::clone(&self.told), self.plugin.program().prefixed(""));
        let update = move |MintX509caResponse { x509_ca_chain, upstream_x509_roots }| {
            let roots = authorities(upstream_x509_roots);
            if !x509_ca_chain.is_empty() || roots.is_empty() {
                tracing::warn!("{prefix}an update of the roots cannot be used: it has a chain, or no root");
                return;
            }
            told.write().unwrap_or_else(PoisonError::into_inner).roots = Some(roots);
        };
        self.follow(0, "X.509 root", answers, update);
        Ok(minted)
    }

    async fn publish(&self, key: &JwtAuthority) -> Result<(), UpstreamError> {
        let request = PublishJwtKeyRequest { jwt_key: Some(jwt_key_to_wire(key)) };
        let mut client = self.client();
        let answers = self.plugin.call("PublishJWTKeyAndSubscribe", client.publish_jwt_key_and_subscribe(request));
        let mut answers = answers.await.map_err(|status| self.failed(&status, PUBLISH))?;
        let first = self.first("PublishJWTKeyAndSubscribe", &mut answers, PUBLISH).await?;
        self.write(|told| told.keys = keys(first.upstream_jwt_keys));
        let told = Arc::clone(&self.told);
        self.follow(1, "JWT key", answers, move |PublishJwtKeyResponse { upstream_jwt_keys }| {
            told.write().unwrap_or_else(PoisonError::into_inner).keys = keys(upstream_jwt_keys);
        });
        Ok(())
    }

    async fn first<T>(
        &self,
        call: &'static str,
        answers: &mut Streaming<T>,
        what: &'static str,
    ) -> Result<T, UpstreamError> {
        let first = self.plugin.message(call, answers.message()).await;
        let first = first.map_err(|status| self.failed(&status, what))?;
        first.ok_or_else(|| self.fault("plugin closed stream unexpectedly"))
    }

    fn client(&self) -> UpstreamAuthorityClient<Channel> {
        UpstreamAuthorityClient::new(self.plugin.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Takes what comes, in place of the stream before it. The text is SPIRE's.
    fn follow<T: Send + 'static>(
        &self,
        at: usize,
        what: &'static str,
        mut answers: Streaming<T>,
        update: impl Fn(T) + Send + 'static,
    ) {
        let prefix = self.plugin.program().prefixed("");
        let updates = async move {
            loop {
                match answers.message().await {
                    Ok(Some(answer)) => update(answer),
                    ended => {
                        let error = ended.err().map_or_else(|| "EOF".to_owned(), |status| go_text(&status));
                        tracing::warn!(
                            error,
                            "{prefix}The upstream authority plugin stopped streaming {what} updates prematurely. \
                             Please report this bug. Will retry later."
                        );
                        return;
                    }
                }
            }
        };
        let before = self.followed.lock()[at].replace(tokio::spawn(updates));
        if let Some(before) = before {
            before.abort();
        }
    }

    fn write(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn failed(&self, status: &Status, what: &'static str) -> UpstreamError {
        match status.code() {
            Code::Unimplemented => UpstreamError::Unsupported(what),
            _ => UpstreamError::failed(go_text(status)),
        }
    }

    fn fault(&self, message: &str) -> UpstreamError {
        UpstreamError::failed(go_text(&self.plugin.internal(message)))
    }
}

impl UpstreamAuthority for ExternalUpstreamAuthority {
    fn name(&self) -> &str {
        &self.plugin.program().name
    }

    fn mint_x509_ca<'a>(
        &'a self,
        csr: &'a [u8],
        preferred_ttl: Duration,
    ) -> BoxFuture<'a, Result<MintedX509Ca, UpstreamError>> {
        Box::pin(self.mint(csr, preferred_ttl))
    }

    fn publish_jwt_key<'a>(&'a self, key: &'a JwtAuthority) -> BoxFuture<'a, Result<(), UpstreamError>> {
        Box::pin(self.publish(key))
    }

    /// What it told last.
    fn bundle(&self) -> BoxFuture<'_, Result<UpstreamBundle, UpstreamError>> {
        Box::pin(async {
            let told = self.told.read().unwrap_or_else(PoisonError::into_inner);
            // Without roots it would seem that all of them are gone.
            let x509_authorities = told.roots.clone().ok_or(UpstreamError::NothingYet)?;
            Ok(UpstreamBundle { x509_authorities, jwt_authorities: told.keys.clone(), is_whole: false })
        })
    }
}

impl Drop for ExternalUpstreamAuthority {
    fn drop(&mut self) {
        for followed in self.followed.get_mut().iter().flatten() {
            followed.abort();
        }
    }
}

fn authorities(certificates: Vec<types::X509Certificate>) -> Vec<X509Authority> {
    let certificates = certificates.into_iter();
    certificates.map(|certificate| X509Authority { der: certificate.asn1, tainted: certificate.tainted }).collect()
}

fn keys(keys: Vec<types::JwtKey>) -> Vec<JwtAuthority> {
    let key = |key: types::JwtKey| JwtAuthority {
        public_key: key.public_key,
        key_id: key.key_id,
        expires_at: key.expires_at,
        tainted: key.tainted,
    };
    keys.into_iter().map(key).collect()
}

const MINT: &str = "minting an X.509 CA";
const PUBLISH: &str = "publishing a JWT key";
