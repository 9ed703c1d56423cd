//! Shows in handshakes what the state has: each replica opens the keys by itself.

use std::sync::Arc;

use rustls::pki_types::PrivatePkcs8KeyDer;
use steeple_acme::{CertificateError, WebCertificates};
use steeple_ca::seal::SealError;
use steeple_state::{Change, WebKey};
use tokio_util::sync::CancellationToken;

use super::until_change;
use crate::issue::{AuthorityKeys, KeysError};
use crate::raft::Replica;
use crate::seal::{KeyInUse, open_web_key};

pub struct ShowDriver {
    pub replica: Replica,
    pub keys: Arc<AuthorityKeys>,
    pub sealing_key: KeyInUse,
    /// What this listener answers to.
    pub domains: Vec<String>,
    pub shown: Arc<WebCertificates>,
}

#[derive(Debug, thiserror::Error)]
enum ShowError {
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl ShowDriver {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut events = self.replica.events();
        loop {
            // While the server is sealed, the certificates that it shows stay.
            let opened = async {
                self.sealing_key.until_open().await;
                self.domains.iter().for_each(|domain| self.refresh(domain));
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = opened => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                is_open = until_change(&mut events, is_of_the_web) => if !is_open {
                    return;
                },
            }
        }
    }

    fn refresh(&self, domain: &str) {
        if let Err(error) = self.show(domain) {
            tracing::error!(domain, %error, "the certificate in the log cannot be shown");
        }
    }

    fn show(&self, domain: &str) -> Result<(), ShowError> {
        let (certificate, key) = {
            let state = self.replica.state().read();
            let Some(certificate) = state.web_certificate(domain).cloned() else { return Ok(()) };
            let name = WebKey::Certificate { domain: domain.to_owned() };
            let key = open_web_key(self.keys.keyring(&state)?.as_ref(), &name, &certificate.key)?;
            (certificate, key)
        };
        if self.shown.show(domain, &certificate.chain, PrivatePkcs8KeyDer::from(key.expose()).into())? {
            tracing::info!(domain, not_after = %certificate.not_after, "Serving the certificate obtained by ACME");
        }
        Ok(())
    }
}

fn is_of_the_web(change: &Change) -> bool {
    matches!(change, Change::WebCertificate { .. })
}
