//! Plugins whose settings change while they are in use.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::{
    AgentChannel, AgentNodeAttestor, AttestError, Attested, BoxFuture, ChallengeChannel, ComposeError,
    CredentialComposer, MintedX509Ca, NodeAttestor, ReferenceError, SubjectNames, UpstreamAuthority, UpstreamBundle,
    UpstreamError, WorkloadAttestor, WorkloadError, WorkloadProcess, WorkloadReference, WorkloadX509,
};
use crate::{JwtAuthority, Selector};

/// The plugin of today's settings. A call ends with the settings that it began with.
pub struct Replaceable<P: ?Sized> {
    /// Settings do not change it.
    name: String,
    current: RwLock<Arc<P>>,
}

impl<P: ?Sized> Replaceable<P> {
    pub fn new(name: impl Into<String>, plugin: Arc<P>) -> Self {
        Self { name: name.into(), current: RwLock::new(plugin) }
    }

    /// For calls that begin from now on.
    pub fn replace(&self, plugin: Arc<P>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = plugin;
    }

    fn current(&self) -> Arc<P> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl CredentialComposer for Replaceable<dyn CredentialComposer> {
    fn described(&self) -> String {
        self.current().described()
    }

    fn workload_x509_names(
        &self,
        workload: &WorkloadX509<'_>,
        names: SubjectNames,
    ) -> Result<SubjectNames, ComposeError> {
        self.current().workload_x509_names(workload, names)
    }
}

impl NodeAttestor for Replaceable<dyn NodeAttestor> {
    fn name(&self) -> &str {
        &self.name
    }

    fn attest<'a>(
        &'a self,
        payload: &'a [u8],
        peer: Option<IpAddr>,
        channel: &'a mut dyn ChallengeChannel,
    ) -> BoxFuture<'a, Result<Attested, AttestError>> {
        let current = self.current();
        Box::pin(async move { current.attest(payload, peer, channel).await })
    }
}

impl AgentNodeAttestor for Replaceable<dyn AgentNodeAttestor> {
    fn name(&self) -> &str {
        &self.name
    }

    fn attest<'a>(&'a self, channel: &'a mut dyn AgentChannel) -> BoxFuture<'a, Result<(), AttestError>> {
        let current = self.current();
        Box::pin(async move { current.attest(channel).await })
    }
}

impl WorkloadAttestor for Replaceable<dyn WorkloadAttestor> {
    fn name(&self) -> &str {
        &self.name
    }

    fn attest<'a>(&'a self, process: WorkloadProcess) -> BoxFuture<'a, Result<Vec<Selector>, WorkloadError>> {
        let current = self.current();
        Box::pin(async move { current.attest(process).await })
    }

    fn attest_reference<'a>(
        &'a self,
        reference: &'a WorkloadReference,
    ) -> BoxFuture<'a, Result<Vec<Selector>, ReferenceError>> {
        let current = self.current();
        Box::pin(async move { current.attest_reference(reference).await })
    }

    fn answer_time_max(&self) -> Duration {
        self.current().answer_time_max()
    }
}

impl UpstreamAuthority for Replaceable<dyn UpstreamAuthority> {
    fn name(&self) -> &str {
        &self.name
    }

    fn mint_x509_ca<'a>(
        &'a self,
        csr: &'a [u8],
        preferred_ttl: Duration,
    ) -> BoxFuture<'a, Result<MintedX509Ca, UpstreamError>> {
        let current = self.current();
        Box::pin(async move { current.mint_x509_ca(csr, preferred_ttl).await })
    }

    fn publish_jwt_key<'a>(&'a self, key: &'a JwtAuthority) -> BoxFuture<'a, Result<(), UpstreamError>> {
        let current = self.current();
        Box::pin(async move { current.publish_jwt_key(key).await })
    }

    fn bundle(&self) -> BoxFuture<'_, Result<UpstreamBundle, UpstreamError>> {
        let current = self.current();
        Box::pin(async move { current.bundle().await })
    }
}
