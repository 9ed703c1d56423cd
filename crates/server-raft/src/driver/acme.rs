//! Certificates of the web for a listener that every replica has: the leader orders them, and through the log every
//! replica can answer the ACME server and show what it gave.

use std::sync::Arc;
use std::time::Duration;

use steeple_acme::{Directory, Keeper, Obtained, Store, StoreError, Validity, WebCertificates};
use steeple_ca::seal::{Keyring, SealError};
use steeple_core::{AcmeAccount, Secret, WebCertificate};
use steeple_state::{CommandKind, State, WebKey};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::web_certificates::ShowDriver;
use super::{propose, until_leader};
use crate::issue::AuthorityKeys;
use crate::metrics;
use crate::raft::Replica;
use crate::seal::{open_web_key, seal_web_key};
use crate::service::Shared;

/// Starts what keeps a certificate for each of `domains`, and returns what handshakes are to show.
pub fn certificates_by_acme(
    shared: &Shared,
    directory: Directory,
    domains: Vec<String>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Arc<WebCertificates> {
    let (state, names) = (shared.replica.state().clone(), domains.clone());
    let shown = WebCertificates::new(move |domain| {
        let is_ours = names.iter().any(|name| name == domain);
        state.read().acme_challenge(domain).filter(|_| is_ours).map(|challenge| challenge.digest)
    });
    let keys = Arc::clone(&shared.maker.keys);
    let show = ShowDriver {
        replica: shared.replica.clone(),
        keys: Arc::clone(&keys),
        sealing_key: shared.sealing_key.clone(),
        domains: domains.clone(),
        shown: Arc::clone(&shown),
    };
    tasks.spawn(show.run(stop.clone()));
    let store = ReplicatedStore { replica: shared.replica.clone(), keys };
    let clock = Arc::clone(&shared.clock);
    tasks.spawn(lead(Keeper { directory, domains, store, clock, ended: metrics::acme_order }, stop.clone()));
    shown
}

/// Runs until `stop`. An order that is going on when another replica takes over is given up, and made anew there.
async fn lead(keeper: Keeper<ReplicatedStore>, stop: CancellationToken) {
    let replica = keeper.store.replica.clone();
    while until_leader(&replica, &stop).await.is_some() {
        let mut leadership = replica.leadership();
        tokio::select! {
            () = stop.cancelled() => return,
            _ = leadership.wait_for(|now| !now.is_leader) => {}
            () = keeper.run() => {}
        }
    }
}

struct ReplicatedStore {
    replica: Replica,
    keys: Arc<AuthorityKeys>,
}

impl ReplicatedStore {
    async fn propose(&self, kind: CommandKind) -> Result<(), StoreError> {
        propose(&self.replica, ACTOR, kind).await.map(drop).map_err(|error| StoreError(error.to_string()))
    }

    /// What `open_or_seal` makes of the keyring and the state of one instant.
    fn with_keyring<T>(
        &self,
        open_or_seal: impl FnOnce(&Keyring, &State) -> Result<T, SealError>,
    ) -> Result<T, StoreError> {
        let state = self.replica.state().read();
        let keyring = self.keys.keyring(&state).map_err(|error| StoreError(error.to_string()))?;
        open_or_seal(&keyring, &state).map_err(|error| StoreError(error.to_string()))
    }

    /// Waits until every member that answers has applied what this one has. An ACME server that reaches a member which
    /// does not answer its peers would find nobody anyway.
    async fn until_everywhere(&self) {
        let index = *self.replica.applied().borrow();
        let give_up = Instant::now() + EVERYWHERE_MAX;
        loop {
            let status = self.replica.ask_members().await;
            let is_behind = |applied: u64| applied < index;
            let behind = status.members.iter().filter(|member| member.reachable && is_behind(member.applied_index));
            let behind: Vec<&str> = behind.map(|member| member.name.as_str()).collect();
            if behind.is_empty() {
                return;
            }
            if Instant::now() >= give_up {
                tracing::warn!(behind = behind.join(" "), "replicas that may not answer an ACME server yet");
                return;
            }
            tokio::time::sleep(EVERYWHERE_PAUSE).await;
        }
    }
}

impl Store for ReplicatedStore {
    /// Nothing is asked of an ACME server that could not be kept.
    async fn account_key(&self, directory_url: &str) -> Result<Option<Secret>, StoreError> {
        let name = WebKey::Account { directory_url: directory_url.to_owned() };
        let (needs, has) = {
            let needs = CommandKind::SetAcmeChallenge { domain: String::new(), digest: None }.needs_version();
            (needs, self.replica.state().read().cluster_version())
        };
        if has < needs {
            let why = format!("this needs cluster version {needs}, and the cluster is at {has}; run cluster finalize");
            return Err(StoreError(why));
        }
        self.with_keyring(|keyring, state| match state.web_key(&name) {
            Some(sealed) => open_web_key(keyring, &name, sealed).map(Some),
            None => Ok(None),
        })
    }

    async fn keep_account_key(&self, directory_url: &str, key: &Secret) -> Result<(), StoreError> {
        let name = WebKey::Account { directory_url: directory_url.to_owned() };
        let key = self.with_keyring(|keyring, _| seal_web_key(keyring, &name, key))?;
        let account = AcmeAccount { directory_url: directory_url.to_owned(), key };
        self.propose(CommandKind::SetAcmeAccount { account }).await
    }

    async fn show_challenge(&self, domain: &str, digest: [u8; 32]) -> Result<(), StoreError> {
        self.propose(CommandKind::SetAcmeChallenge { domain: domain.to_owned(), digest: Some(digest) }).await?;
        self.until_everywhere().await;
        Ok(())
    }

    async fn hide_challenge(&self, domain: &str) -> Result<(), StoreError> {
        self.propose(CommandKind::SetAcmeChallenge { domain: domain.to_owned(), digest: None }).await
    }

    fn validity(&self, domain: &str) -> Option<Validity> {
        let state = self.replica.state().read();
        let held = state.web_certificate(domain)?;
        Some(Validity { not_before: held.not_before, not_after: held.not_after })
    }

    async fn keep(&self, obtained: &Obtained) -> Result<(), StoreError> {
        let name = WebKey::Certificate { domain: obtained.domain.clone() };
        let key = self.with_keyring(|keyring, _| seal_web_key(keyring, &name, &obtained.key))?;
        let certificate = Box::new(WebCertificate {
            domain: obtained.domain.clone(),
            chain: obtained.chain.clone(),
            key,
            not_before: obtained.validity.not_before,
            not_after: obtained.validity.not_after,
        });
        self.propose(CommandKind::SetWebCertificate { certificate }).await
    }
}

/// How the log's reader sees what this driver proposes.
const ACTOR: &str = "acme driver";
/// A replica follows within a heartbeat; one that restores a snapshot takes longer, and is not waited for.
const EVERYWHERE_MAX: Duration = Duration::from_secs(10);
const EVERYWHERE_PAUSE: Duration = Duration::from_millis(50);
