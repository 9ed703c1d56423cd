//! `plugin_data` of the agent's block, distilled.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use steeple_core::SpiffeId;

use crate::container::{HostPid, Locator};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K8sSettings {
    pub kubelet: KubeletSettings,
    /// How often a pod list is looked at before a container counts as unknown.
    pub poll_attempts_max: u32,
    /// Between the starts of two requests to the kubelet.
    pub poll_interval: Duration,
    /// The pod alone is enough, also while its container is not listed yet.
    pub disable_container_selectors: bool,
    /// Where the labels of namespaces are asked for; `None` without `enable_namespace_labels`.
    pub namespace_labels: Option<ApiServer>,
    /// What brokers are told; without it nothing.
    pub brokers: Option<BrokerAccess>,
    pub locator: Locator,
    pub host_pid: HostPid,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeletSettings {
    pub port: u16,
    pub access: KubeletAccess,
    /// How old certificates and tokens in memory may become.
    pub reload_interval: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeletAccess {
    /// Plain HTTP to the loopback address.
    ReadOnly,
    Secure {
        /// Whom the kubelet's certificate must name; without it the loopback address is dialled, and any name will do.
        node_name: Option<String>,
        /// PEM; `None` trusts whoever answers.
        ca_path: Option<PathBuf>,
        authentication: KubeletAuthentication,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeletAuthentication {
    Anonymous,
    /// A bearer token, for instance of a service account.
    TokenFile(PathBuf),
    Certificate {
        certificate_path: PathBuf,
        key_path: PathBuf,
    },
}

/// `experimental { broker {} }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAccess {
    /// Who may refer to processes and pods of this node.
    pub brokers: BTreeSet<SpiffeId>,
    /// Where Kubernetes is asked for each pod whether the broker may; `None` with `access_policy = "permissive"`.
    pub review: Option<ApiServer>,
}

/// The API server, as a pod reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiServer {
    /// `host:port`.
    pub address: String,
    pub ca_path: PathBuf,
    pub token_path: PathBuf,
}

impl K8sSettings {
    pub const DEFAULT_POLL_ATTEMPTS: u32 = 60;
    pub const DEFAULT_POLL_INTERVAL: Duration = Duration::from_millis(500);
}

impl KubeletSettings {
    pub const DEFAULT_SECURE_PORT: u16 = 10_250;
    pub const DEFAULT_RELOAD_INTERVAL: Duration = Duration::from_secs(60);
    pub const DEFAULT_CA_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
    pub const DEFAULT_TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    pub const DEFAULT_NODE_NAME_ENV: &str = "MY_NODE_NAME";
}
