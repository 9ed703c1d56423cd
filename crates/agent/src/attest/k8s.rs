//! From the block `WorkloadAttestor "k8s"` to its settings.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use steeple_config::{PluginBlock, Section};
use steeple_core::SpiffeId;
use steeple_plugins::container::Locator;
use steeple_plugins::k8s::{
    ApiServer, BrokerAccess, K8sAttestor, K8sSettings, KubeletAccess, KubeletAuthentication, KubeletSettings,
};

use super::read;

const PLUGIN: &str = K8sAttestor::NAME;

pub fn k8s_settings(block: &PluginBlock) -> anyhow::Result<K8sSettings> {
    block.read_data(|data| {
        read::refuse_sigstore(data, PLUGIN)?;
        if data.flag("disable_kubelet_client")?.unwrap_or(false) {
            bail!(
                "{PLUGIN}: disable_kubelet_client leaves only references of brokers to pods of other nodes, which are \
                 not supported: remove the key"
            );
        }
        let brokers = experimental(block, data)?;
        let verbose = data.flag("verbose_container_locator_logs")?.unwrap_or(false);
        let use_new_locator = data.flag("use_new_container_locator")?.unwrap_or(true);
        let attempts = data.int("max_poll_attempts")?.and_then(|attempts| u32::try_from(attempts).ok());
        let labels = data.flag("enable_namespace_labels")?.unwrap_or(false);
        Ok(K8sSettings {
            kubelet: kubelet(data)?,
            poll_attempts_max: attempts.filter(|count| *count > 0).unwrap_or(K8sSettings::DEFAULT_POLL_ATTEMPTS),
            poll_interval: read::duration(data, PLUGIN, "poll_retry_interval")?
                .unwrap_or(K8sSettings::DEFAULT_POLL_INTERVAL),
            disable_container_selectors: data.flag("disable_container_selectors")?.unwrap_or(false),
            namespace_labels: if labels { Some(api_server("enable_namespace_labels")?) } else { None },
            brokers,
            locator: if use_new_locator { Locator::New { verbose } } else { Locator::Legacy },
            host_pid: read::host_pid(data, PLUGIN)?,
        })
    })
}

fn kubelet(data: &mut Section<'_>) -> anyhow::Result<KubeletSettings> {
    let (read_only, secure) = (port(data, "kubelet_read_only_port")?, port(data, "kubelet_secure_port")?);
    if read_only.is_some() && secure.is_some() {
        bail!("{PLUGIN}: cannot use both the read-only and secure port");
    }
    // Asked for in any case: they are known keys, used or not.
    let secure_access = secure_access(data)?;
    let (port, access) = match read_only {
        Some(port) => (port, KubeletAccess::ReadOnly),
        None => (secure.unwrap_or(KubeletSettings::DEFAULT_SECURE_PORT), secure_access),
    };
    let reload_interval = read::duration(data, PLUGIN, "reload_interval")?;
    let reload_interval = reload_interval.unwrap_or(KubeletSettings::DEFAULT_RELOAD_INTERVAL);
    Ok(KubeletSettings { port, access, reload_interval })
}

fn secure_access(data: &mut Section<'_>) -> anyhow::Result<KubeletAccess> {
    let ca_path = read::text(data, "kubelet_ca_path")?;
    let ca_path = ca_path.map_or_else(|| KubeletSettings::DEFAULT_CA_PATH.into(), PathBuf::from);
    let skip_verification = data.flag("skip_kubelet_verification")?.unwrap_or(false);
    Ok(KubeletAccess::Secure {
        node_name: node_name(data)?,
        ca_path: (!skip_verification).then_some(ca_path),
        authentication: authentication(data)?,
    })
}

fn authentication(data: &mut Section<'_>) -> anyhow::Result<KubeletAuthentication> {
    let token_path = read::text(data, "token_path")?;
    let certificate = (read::text(data, "certificate_path")?, read::text(data, "private_key_path")?);
    if data.flag("use_anonymous_authentication")?.unwrap_or(false) {
        return Ok(KubeletAuthentication::Anonymous);
    }
    match certificate {
        (Some(certificate), Some(key)) => {
            Ok(KubeletAuthentication::Certificate { certificate_path: certificate.into(), key_path: key.into() })
        }
        (Some(_), None) => bail!("{PLUGIN}: the private key path is required with the certificate path"),
        (None, Some(_)) => bail!("{PLUGIN}: the certificate path is required with the private key path"),
        (None, None) => {
            let path = token_path.map_or_else(|| KubeletSettings::DEFAULT_TOKEN_PATH.into(), PathBuf::from);
            Ok(KubeletAuthentication::TokenFile(path))
        }
    }
}

/// Without a name the loopback address is dialled, which an agent in the host's network reaches.
fn node_name(data: &mut Section<'_>) -> anyhow::Result<Option<String>> {
    let (name, variable) = (read::text(data, "node_name")?, read::text(data, "node_name_env")?);
    if name.is_some() {
        return Ok(name);
    }
    let variable = variable.as_deref().unwrap_or(KubeletSettings::DEFAULT_NODE_NAME_ENV);
    Ok(std::env::var(variable).ok().filter(|name| !name.is_empty()))
}

/// What is not above zero is as none (SPIRE behaviour).
fn port(data: &mut Section<'_>, key: &'static str) -> anyhow::Result<Option<u16>> {
    let Some(port) = data.int(key)?.filter(|port| *port > 0) else { return Ok(None) };
    Ok(Some(u16::try_from(port).with_context(|| format!("{PLUGIN}: {key}: {port} is no port"))?))
}

/// As Kubernetes tells its pods.
fn api_server(key: &str) -> anyhow::Result<ApiServer> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT"));
    let (Some(host), Some(port)) = (host, port) else {
        bail!(
            "{PLUGIN}: {key} asks the API server, which this process does not know: \
             KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are set in every pod"
        );
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Ok(ApiServer {
        address: format!("{host}:{port}"),
        ca_path: KubeletSettings::DEFAULT_CA_PATH.into(),
        token_path: KubeletSettings::DEFAULT_TOKEN_PATH.into(),
    })
}

fn experimental(block: &PluginBlock, data: &mut Section<'_>) -> anyhow::Result<Option<BrokerAccess>> {
    let Some(experimental) = data.section("experimental")? else { return Ok(None) };
    block.read_section(experimental, "experimental", |experimental| {
        if experimental.section("api_server")?.is_some() {
            bail!("{PLUGIN}: experimental.api_server is not supported: remove it; the API server is asked each time");
        }
        let Some(broker) = experimental.section("broker")? else { return Ok(None) };
        block.read_section(broker, BROKER, |broker| broker_access(block, broker)).map(Some)
    })
}

/// Texts are SPIRE's, except for what is not built.
fn broker_access(block: &PluginBlock, broker: &mut Section<'_>) -> anyhow::Result<BrokerAccess> {
    const POLICIES: &str = "one of [permissive, enforced]";
    let review = match read::text(broker, "access_policy")?.as_deref() {
        Some("permissive") => None,
        Some("enforced") => Some(api_server(&format!("{BROKER}.access_policy = \"enforced\""))?),
        Some(other) => bail!("{PLUGIN}: {BROKER}.access_policy: unsupported value {other:?}; must be {POLICIES}"),
        None => bail!("{PLUGIN}: {BROKER}.access_policy: must be specified as {POLICIES}"),
    };
    let mut brokers = BTreeSet::new();
    for (at, section) in broker.sections("brokers")?.into_iter().enumerate() {
        let id = block.read_section(section, &format!("{BROKER}.brokers[{at}]"), |one| broker_id(at, one))?;
        if !brokers.insert(id.clone()) {
            bail!("{PLUGIN}: {BROKER}.brokers[{id}].id: duplicate broker id");
        }
    }
    if brokers.is_empty() {
        bail!("{PLUGIN}: {BROKER}.brokers: at least one broker is required");
    }
    Ok(BrokerAccess { brokers, review })
}

fn broker_id(at: usize, broker: &mut Section<'_>) -> anyhow::Result<SpiffeId> {
    let (id, scope) = (read::text(broker, "id")?, read::text(broker, "pod_reference_scope")?);
    let Some(id) = id else { bail!("{PLUGIN}: {BROKER}.brokers[{at}].id: must be specified") };
    match scope.as_deref() {
        None | Some("agent_node") => {}
        Some("cluster") => bail!(
            "{PLUGIN}: {BROKER}.brokers[{id}].pod_reference_scope: \"cluster\" is not supported: remove the key; pods \
             are referred to on the node of the agent"
        ),
        Some(other) => bail!(
            "{PLUGIN}: {BROKER}.brokers[{id}].pod_reference_scope: unsupported value {other:?}; must be one of \
             [agent_node, cluster]"
        ),
    }
    SpiffeId::parse(&id).map_err(|error| anyhow!("{PLUGIN}: {BROKER}.brokers[{id}].id: {error}"))
}

const BROKER: &str = "experimental.broker";
