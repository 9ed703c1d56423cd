//! From the `plugins` section to the node attestors of this server: a file for the settings of each.

mod http_challenge;
mod k8s_psat;
mod sshpop;
mod tpm_devid;
mod x509pop;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, bail};
use steeple_cli::PluginDataFiles;
use steeple_config::{PluginBlock, Section, ServerSettings};
use steeple_core::plugin::NodeAttestor;
use steeple_core::{Clock, TrustDomain};
use steeple_plugins::AgentPathTemplate;
use steeple_plugins::external::{Catalog, ExternalNodeAttestor};
use steeple_plugins::http_challenge::HttpChallengeServer;
use steeple_plugins::k8s_psat::K8sPsatServer;
use steeple_plugins::sshpop::SshPopServer;
use steeple_plugins::tpm_devid::TpmDevIdServer;
use steeple_plugins::x509pop::{OwnRoots, X509PopServer};

use crate::raft::{Replica, SharedState};

/// The roots of the trust domain. Attestors are made, and refused, before there is a replica that knows them.
#[derive(Clone, Default)]
pub struct OwnRootsOf(Arc<OnceLock<SharedState>>);

impl OwnRootsOf {
    pub fn read_from(&self, replica: &Replica) {
        // Called once, when the replica has started.
        let _ = self.0.set(replica.state().clone());
    }

    fn reader(&self) -> OwnRoots {
        let state = Arc::clone(&self.0);
        Arc::new(move || {
            let bundle = state.get().and_then(|state| state.read().own_bundle().cloned());
            bundle
                .map(|bundle| bundle.x509_authorities.iter().map(|root| root.der.clone()).collect())
                .unwrap_or_default()
        })
    }
}

/// By attestation type. `join_token` is in the core, since it needs the state.
pub async fn node_attestors(
    settings: &ServerSettings,
    own_roots: &OwnRootsOf,
    clock: &Arc<dyn Clock>,
    catalog: &Catalog,
    files: &mut PluginDataFiles,
) -> anyhow::Result<BTreeMap<String, Arc<dyn NodeAttestor>>> {
    let mut attestors: BTreeMap<String, Arc<dyn NodeAttestor>> = BTreeMap::new();
    for block in settings.plugins.iter().filter(|block| block.enabled && block.kind == KIND) {
        if let Some(program) = block.external()? {
            let launched = catalog.load(&program, ExternalNodeAttestor::INTERFACE);
            let attestor = ExternalNodeAttestor(files.load(block, launched).await?);
            attestors.insert(block.name.clone(), Arc::new(attestor));
            continue;
        }
        if block.name == JOIN_TOKEN {
            files.configure(block, |block| without_settings(block).map(Arc::new))?;
            continue;
        }
        let (trust_domain, own_roots, clock) = (settings.trust_domain.clone(), own_roots.clone(), Arc::clone(clock));
        let attestor = files.configure(block, move |block| node_attestor(block, &trust_domain, &own_roots, &clock))?;
        attestors.insert(block.name.clone(), attestor);
    }
    Ok(attestors)
}

/// Refuses data that cannot be used.
pub fn check(block: &PluginBlock, settings: &ServerSettings, clock: &Arc<dyn Clock>) -> anyhow::Result<()> {
    match block.name.as_str() {
        JOIN_TOKEN => without_settings(block),
        _ => node_attestor(block, &settings.trust_domain, &OwnRootsOf::default(), clock).map(drop),
    }
}

fn without_settings(block: &PluginBlock) -> anyhow::Result<()> {
    block.read_data(|_| Ok(()))
}

fn node_attestor(
    block: &PluginBlock,
    trust_domain: &TrustDomain,
    own_roots: &OwnRootsOf,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn NodeAttestor>> {
    let trust_domain = trust_domain.clone();
    Ok(match block.name.as_str() {
        "http_challenge" => Arc::new(HttpChallengeServer::new(trust_domain, http_challenge::settings(block)?)),
        "k8s_psat" => Arc::new(K8sPsatServer::new(trust_domain, k8s_psat::clusters(block)?)),
        "sshpop" => Arc::new(SshPopServer::new(trust_domain, sshpop::settings(block)?, Arc::clone(clock))),
        "tpm_devid" => Arc::new(TpmDevIdServer::new(trust_domain, tpm_devid::settings(block)?, Arc::clone(clock))),
        "x509pop" => {
            Arc::new(X509PopServer::new(trust_domain, x509pop::settings(block, own_roots)?, Arc::clone(clock)))
        }
        other => bail!("{KIND} {other:?} is not built in"),
    })
}

/// The `agent_path_template` of a block; `None` where there is none.
fn agent_path_template(
    data: &mut Section<'_>,
    plugin: &str,
    fields: &'static [&'static str],
) -> anyhow::Result<Option<AgentPathTemplate>> {
    let Some(template) = data.text("agent_path_template")?.filter(|template| !template.is_empty()) else {
        return Ok(None);
    };
    let unusable = || format!("{plugin}: failed to parse agent svid template: {template:?}");
    Ok(Some(AgentPathTemplate::parse(&template, fields).with_context(unusable)?))
}

/// The certificates in a PEM file, DER. `unloadable` says for what they are wanted.
fn certificates_of(path: &str, unloadable: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let text = steeple_cli::read_file(path).with_context(|| unloadable.to_owned())?;
    let blocks = pem::parse_many(&text).with_context(|| unloadable.to_owned())?;
    let certificates: Vec<Vec<u8>> =
        blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE").map(pem::Pem::into_contents).collect();
    if certificates.is_empty() {
        bail!("{unloadable}: no certificates found in file");
    }
    Ok(certificates)
}

pub const KIND: &str = "NodeAttestor";
const JOIN_TOKEN: &str = "join_token";
