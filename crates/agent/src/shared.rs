//! What the parts of one agent share.

use std::sync::Arc;
use std::time::Instant;

use steeple_cli::PluginDataFiles;
use steeple_config::AgentSettings;
use steeple_core::Clock;
use steeple_plugins::external::Catalog;

use crate::attest::WorkloadAttestors;
use crate::cache::{Cache, JwtCache, SingleFlight};
use crate::plugins::{svid_stores, workload_attestors};
use crate::stores::Stores;
use crate::upstream::Upstream;
use crate::workload_api::JwtSource;

pub struct Shared {
    pub upstream: Arc<Upstream>,
    pub cache: Arc<Cache>,
    pub jwt_cache: Arc<JwtCache>,
    pub jwt: Arc<JwtSource>,
    pub attestors: Arc<WorkloadAttestors>,
    pub stores: Stores,
    pub clock: Arc<dyn Clock>,
    pub started_at: Instant,
}

impl Shared {
    /// Everything is empty yet.
    pub async fn new(
        settings: &AgentSettings,
        upstream: Arc<Upstream>,
        clock: Arc<dyn Clock>,
        catalog: &Catalog,
        files: &mut PluginDataFiles,
    ) -> anyhow::Result<Self> {
        let jwt_cache = Arc::new(JwtCache::new(settings.jwt_svid_cache_max));
        let jwt = Arc::new(JwtSource {
            upstream: Arc::clone(&upstream),
            cache: Arc::clone(&jwt_cache),
            clock: Arc::clone(&clock),
            cache_hit_timeout: settings.jwt_svid_cache_hit_timeout,
            minting: SingleFlight::default(),
        });
        Ok(Self {
            upstream,
            cache: Arc::new(Cache::new(settings.trust_domain.clone())),
            jwt_cache,
            jwt,
            attestors: Arc::new(workload_attestors(settings, &clock, catalog, files).await?),
            stores: svid_stores(settings, catalog, files).await?,
            clock,
            started_at: Instant::now(),
        })
    }
}
