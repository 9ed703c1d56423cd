//! From the `plugins` section to the authority above this server, and calls to it with a bound.

use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use anyhow::bail;
use steeple_cli::PluginDataFiles;
use steeple_config::{PluginBlock, ServerSettings};
use steeple_core::plugin::{MintedX509Ca, UpstreamAuthority, UpstreamBundle, UpstreamError};
use steeple_core::{Clock, JwtAuthority, TrustDomain};
use steeple_plugins::external::{Catalog, ExternalUpstreamAuthority};
use steeple_plugins::upstream_disk::{DiskAuthority, DiskFiles};
use steeple_plugins::upstream_spire::{SpireAuthority, SpireServer};

/// The configured authority.
pub struct Upstream {
    plugin: Arc<dyn UpstreamAuthority>,
    warned: Once,
}

impl Upstream {
    /// `None` without an `UpstreamAuthority` block. Files that cannot be used are refused here.
    pub async fn from_settings(
        settings: &ServerSettings,
        clock: &Arc<dyn Clock>,
        catalog: &Catalog,
        files: &mut PluginDataFiles,
    ) -> anyhow::Result<Option<Self>> {
        let mut blocks = settings.plugins.iter().filter(|block| block.enabled && block.kind == KIND);
        let Some(block) = blocks.next() else { return Ok(None) };
        let (trust_domain, clock) = (settings.trust_domain.clone(), Arc::clone(clock));
        let plugin: Arc<dyn UpstreamAuthority> = match block.external()? {
            Some(program) => {
                let launched = catalog.load(&program, ExternalUpstreamAuthority::INTERFACE);
                Arc::new(ExternalUpstreamAuthority::new(files.load(block, launched).await?))
            }
            None => files.configure(block, move |block| plugin(block, &trust_domain, &clock))?,
        };
        Ok(Some(Self { plugin, warned: Once::new() }))
    }

    pub async fn mint_x509_ca(&self, csr: &[u8], ttl: Duration) -> Result<MintedX509Ca, UpstreamError> {
        bounded(MINT_MAX, self.plugin.mint_x509_ca(csr, ttl)).await
    }

    /// An authority that carries no JWT keys is told of once: tokens are then only valid below this server.
    pub async fn publish_jwt_key(&self, key: &JwtAuthority) -> Result<(), UpstreamError> {
        match bounded(PUBLISH_MAX, self.plugin.publish_jwt_key(key)).await {
            Err(UpstreamError::Unsupported(_)) => {
                self.warned.call_once(|| {
                    tracing::warn!(
                        plugin_name = self.plugin.name(),
                        "UpstreamAuthority plugin does not support JWT-SVIDs. Workloads managed by this server may \
                         have trouble communicating with workloads outside this cluster when using JWT-SVIDs."
                    );
                });
                Ok(())
            }
            other => other,
        }
    }

    pub async fn bundle(&self) -> Result<UpstreamBundle, UpstreamError> {
        bounded(FETCH_MAX, self.plugin.bundle()).await
    }
}

/// Refuses files and data that cannot be used.
pub fn check(block: &PluginBlock, settings: &ServerSettings, clock: &Arc<dyn Clock>) -> anyhow::Result<()> {
    plugin(block, &settings.trust_domain, clock).map(drop)
}

fn plugin(
    block: &PluginBlock,
    trust_domain: &TrustDomain,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn UpstreamAuthority>> {
    let (trust_domain, clock) = (trust_domain.clone(), Arc::clone(clock));
    Ok(match block.name.as_str() {
        "disk" => Arc::new(DiskAuthority::open(disk_files(block)?, trust_domain, clock)?),
        "spire" => Arc::new(SpireAuthority::new(spire_server(block)?, trust_domain, clock)),
        other => bail!("{KIND} {other:?} is not built in"),
    })
}

fn disk_files(block: &PluginBlock) -> anyhow::Result<DiskFiles> {
    block.read_data(|data| {
        let mut path = |key| anyhow::Ok(data.text(key)?.filter(|path| !path.is_empty()).map(PathBuf::from));
        let (certificate, key) = (path("cert_file_path")?, path("key_file_path")?);
        let bundle_file_path = path("bundle_file_path")?;
        let (Some(cert_file_path), Some(key_file_path)) = (certificate, key) else {
            bail!("{KIND} \"disk\": 'cert_file_path' and 'key_file_path' must be set and not empty");
        };
        Ok(DiskFiles { cert_file_path, key_file_path, bundle_file_path })
    })
}

fn spire_server(block: &PluginBlock) -> anyhow::Result<SpireServer> {
    block.read_data(|data| {
        let mut required = |key: &'static str| match data.text(key)?.filter(|text| !text.is_empty()) {
            Some(text) => Ok(text),
            None => bail!("{KIND} \"spire\": {key} is required"),
        };
        let host = required("server_address")?;
        let port = required("server_port")?;
        let workload_api_socket = PathBuf::from(required("workload_api_socket")?);
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
        let require_pq_kem = match data.section("experimental")? {
            Some(mut experimental) => experimental.flag("require_pq_kem")?.unwrap_or(false),
            None => false,
        };
        Ok(SpireServer { address: format!("{host}:{port}"), workload_api_socket, require_pq_kem })
    })
}

async fn bounded<T>(max: Duration, call: impl Future<Output = Result<T, UpstreamError>>) -> Result<T, UpstreamError> {
    match tokio::time::timeout(max, call).await {
        Ok(result) => result,
        Err(_) => Err(UpstreamError::failed(format!("the upstream authority did not answer within {max:?}"))),
    }
}

pub const KIND: &str = "UpstreamAuthority";
/// An authority above may itself have to elect a leader, or ask one above it.
const MINT_MAX: Duration = Duration::from_secs(15);
/// SPIRE's bound.
const PUBLISH_MAX: Duration = Duration::from_secs(5);
/// SPIRE sets none: a server above that is slow is followed all the same.
const FETCH_MAX: Duration = MINT_MAX;
