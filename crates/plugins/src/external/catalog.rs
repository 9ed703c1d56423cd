//! The external plugins of one process.

use std::process::ExitStatus;
use std::sync::Arc;

use futures::future::join_all;
use parking_lot::Mutex;
use steeple_core::TrustDomain;
use steeple_core::plugin::ExternalProgram;

use super::bounds::{Bounds, PLUGINS_MAX};
use super::host_services::HostServices;
use super::launch_error::LaunchError;
use super::plugin::{Plugin, SUBSYSTEM};
use super::process::shown;

/// Loads plugins, and unloads them at the end.
pub struct Catalog {
    trust_domain: TrustDomain,
    services: HostServices,
    bounds: Bounds,
    withheld: Vec<String>,
    loaded: Mutex<Vec<Arc<Plugin>>>,
}

impl Catalog {
    pub fn new(trust_domain: TrustDomain, services: HostServices) -> Self {
        Self { trust_domain, services, bounds: Bounds::default(), withheld: Vec::new(), loaded: Mutex::default() }
    }

    /// These variables of our environment are our own: plugins start without them.
    pub fn withholding(self, withheld: Vec<String>) -> Self {
        Self { withheld, ..self }
    }

    /// With other limits than those of the product.
    pub fn with_bounds(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// Starts a plugin that serves `interface`. Its end is told when it comes.
    pub async fn load(&self, program: &ExternalProgram, interface: &'static str) -> Result<Arc<Plugin>, LaunchError> {
        if self.loaded.lock().len() >= PLUGINS_MAX {
            return Err(LaunchError::TooMany);
        }
        let Self { trust_domain, services, bounds, withheld, .. } = self;
        let plugin = Plugin::launch(program, interface, trust_domain, services, *bounds, withheld).await?;
        let plugin = Arc::new(plugin);
        self.loaded.lock().push(Arc::clone(&plugin));
        tokio::spawn(tell_end(plugin.program().clone(), plugin.end()));
        Ok(plugin)
    }

    /// All of them at once: each may take as long as it has for its end.
    pub async fn unload(&self) {
        let loaded = std::mem::take(&mut *self.loaded.lock());
        join_all(loaded.iter().map(|plugin| plugin.unload())).await;
    }
}

/// SPIRE's lines; the first is also that of an orderly end.
async fn tell_end(program: ExternalProgram, end: impl Future<Output = ExitStatus>) {
    let status = end.await;
    let ExternalProgram { kind, name, .. } = program;
    let span = tracing::error_span!(
        "plugin",
        subsystem_name = SUBSYSTEM,
        external = true,
        plugin_name = name,
        plugin_type = kind
    );
    match status.success() {
        true => span.in_scope(|| tracing::info!("plugin process exited")),
        false => span.in_scope(|| tracing::error!(error = shown(status), "plugin process exited")),
    }
}
