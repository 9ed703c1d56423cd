//! This replica's own X.509-SVID, `spiffe://<td>/spire/server`, which agents ask every server for. Its key lives in
//! memory only.

use std::sync::Arc;
use std::time::Duration;

use steeple_ca::{SigningKey, certificate, generate_pkcs8};
use steeple_core::{AuthorityId, AuthorityKind, Clock, KeyType, Timestamp, TrustDomain, rpc_code_name};
use steeple_telemetry::metric::CallTimer;
use steeple_transport::tls::{Identity, IdentitySink as _, IdentityStore, SharedRoots};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{StepError, roots};
use crate::issue::{Issuer, WorkloadSvid, workload_svid};
use crate::metrics;
use crate::plugin_host::PluginHost;
use crate::raft::Replica;

pub struct ServerSvidDriver {
    pub replica: Replica,
    pub issuer: Issuer,
    pub trust_domain: TrustDomain,
    pub key_type: KeyType,
    pub store: Arc<IdentityStore>,
    pub roots: SharedRoots,
    pub clock: Arc<dyn Clock>,
    /// The chain that is shown now, for the Debug API.
    pub shown: watch::Sender<Option<ServerSvid>>,
    /// External plugins may have both chain and key.
    pub host: PluginHost,
}

/// What this replica shows in TLS handshakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSvid {
    /// DER, leaf first, without the root.
    pub chain: Vec<Vec<u8>>,
    /// Who signed it.
    pub authority_id: AuthorityId,
    pub issued_at: Timestamp,
    pub not_after: Timestamp,
}

#[derive(Debug, thiserror::Error)]
enum RotateError {
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Issue(#[from] crate::issue::IssueFailure),
    #[error(transparent)]
    Publish(#[from] steeple_transport::tls::IdentityError),
}

impl RotateError {
    fn code(&self) -> Code {
        match self {
            Self::Issue(failure) => failure.code,
            Self::Step(_) | Self::Publish(_) => Code::Unknown,
        }
    }
}

impl ServerSvidDriver {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut retry = RETRY_PAUSE_MIN;
        // Whether the log says already that the SVID which is shown is tainted.
        let mut taint_told = false;
        let mut applied = self.replica.applied();
        loop {
            applied.mark_unchanged();
            let mut failed = false;
            let pause = if self.is_due() {
                if !taint_told && self.shown.borrow().as_ref().is_some_and(|svid| self.is_tainted(svid)) {
                    tracing::info!("Server SVID signed using a tainted authority, forcing rotation of the Server SVID");
                    taint_told = true;
                }
                let timer = CallTimer::start(metrics::SVID_ROTATE);
                let rotated = self.rotate().await;
                timer.done(rpc_code_name(rotated.as_ref().map_or_else(RotateError::code, |()| Code::Ok) as i32));
                match rotated {
                    Ok(()) => {
                        (retry, taint_told) = (RETRY_PAUSE_MIN, false);
                        CHECK_INTERVAL
                    }
                    Err(error) => {
                        // Ordinary while the cluster forms or elects: the first authority is not there yet.
                        tracing::debug!(error = %error, "server SVID is not rotated yet");
                        failed = true;
                        retry = (retry * 2).min(RETRY_PAUSE_MAX);
                        retry
                    }
                }
            } else {
                CHECK_INTERVAL
            };
            let has_none = self.shown.borrow().is_none();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                // Agents hear of a tainted or revoked root within milliseconds. Before the first SVID every applied
                // entry may be the one that makes signing possible.
                () = self.comes_due(&mut applied), if has_none || !failed => {
                    tokio::time::sleep(if has_none { RETRY_PAUSE_MIN } else { Duration::ZERO }).await;
                }
            }
        }
    }

    /// By something that is applied.
    async fn comes_due(&self, applied: &mut watch::Receiver<u64>) {
        loop {
            if applied.changed().await.is_err() {
                // The replica ends, and this driver is told to stop.
                std::future::pending::<()>().await;
            }
            if self.is_due() {
                return;
            }
        }
    }

    /// At half-life, and as soon as the authority that signed it is tainted or signs no longer. SPIRE waits there, and
    /// agents that see the root go while the server still shows its old SVID end.
    fn is_due(&self) -> bool {
        let shown = self.shown.borrow();
        let Some(svid) = shown.as_ref() else { return true };
        let half_life = svid.not_after.since(svid.issued_at) / 2;
        let half_over = self.clock.now() >= svid.issued_at.saturating_add(half_life);
        half_over || self.is_superseded(svid) || self.is_tainted(svid)
    }

    fn is_superseded(&self, svid: &ServerSvid) -> bool {
        let state = self.replica.state().read();
        state.active_authority(AuthorityKind::X509).is_some_and(|active| active.id != svid.authority_id)
    }

    fn is_tainted(&self, svid: &ServerSvid) -> bool {
        let state = self.replica.state().read();
        let Some(bundle) = state.own_bundle() else { return false };
        bundle.x509_authorities.iter().any(|root| {
            root.tainted && svid.chain.last().is_some_and(|last| certificate::is_signed_by(last, &root.der))
        })
    }

    async fn rotate(&self) -> Result<(), RotateError> {
        let pkcs8 = generate_pkcs8(self.key_type).map_err(StepError::from)?;
        let key = SigningKey::from_pkcs8(&pkcs8).map_err(StepError::from)?;
        let item = workload_svid(&WorkloadSvid {
            spiffe_id: &self.trust_domain.server_id(),
            public_key: key.public_key(),
            ttl_secs: 0,
            dns_names: &[],
            subject: None,
        });
        let issued = self.issuer.x509(item).await?;
        // The store checks the chain against the roots, which must not be older than the authority.
        roots::refresh(&self.replica, &self.roots);
        let identity = Identity { chain: issued.chain.clone(), key: pkcs8.duplicate().into() };
        self.store.publish(&identity)?;
        self.host.show(&identity.chain, &pkcs8);
        let not_after = Timestamp::from_secs(issued.not_after);
        tracing::info!(spiffe_id = %self.trust_domain.server_id(), expiration = %not_after, "Server SVID rotated");
        let signed_by = issued.chain.first().and_then(|leaf| certificate::facts(leaf)?.authority_key_id);
        let authority_id = signed_by.map(hex::encode).unwrap_or_default();
        let issued_at = self.clock.now();
        self.shown.send_replace(Some(ServerSvid { chain: issued.chain, authority_id, issued_at, not_after }));
        Ok(())
    }
}

/// SPIRE looks as often.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(20);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
