//! Built-in plugins, one folder each, with a page of the same name under `docs/plugins/`.
//!
//! | kind | name | module |
//! |---|---|---|
//! | NodeAttestor (server and agent) | `http_challenge` | [`http_challenge`] |
//! | NodeAttestor (server and agent) | `k8s_psat` | [`k8s_psat`] |
//! | NodeAttestor (server and agent) | `sshpop` | [`sshpop`] |
//! | NodeAttestor (server and agent) | `tpm_devid` | [`tpm_devid`] |
//! | NodeAttestor (server and agent) | `x509pop` | [`x509pop`] |
//! | NodeAttestor (agent; the server's half is in its core) | `join_token` | [`join_token`] |
//! | WorkloadAttestor | `docker` | [`docker`] |
//! | WorkloadAttestor | `k8s` | [`k8s`] |
//! | WorkloadAttestor | `slurm` | [`slurm`] |
//! | WorkloadAttestor | `systemd` | [`systemd`] |
//! | WorkloadAttestor | `unix` | [`unix`] |
//! | SVIDStore | `directory` | [`directory`] |
//! | UpstreamAuthority (server) | `disk` | [`upstream_disk`] |
//! | UpstreamAuthority (server) | `spire` | [`upstream_spire`] |
//! | BundlePublisher (server) | `file` | [`bundle_publisher_file`] |
//! | BundlePublisher (server) | `k8s_configmap` | `bundle_publisher_k8s_configmap` |
//! | CredentialComposer (server) | `common_name` | [`common_name`] |
//! | CredentialComposer (server) | `uniqueid` | [`uniqueid`] |
//! | seal (server; not a SPIRE plugin, `cluster { seal }`) | `passphrase`, `pkcs11`, `transit` | [`seal`] |
//! | record of the founding (server; not a SPIRE plugin) | `k8s_configmap` | `founding_record` |
//! | KeyManager (agent) | `disk`, `memory` | [`key_manager`] |
//!
//! Plugins that are programs of their own are in [`external`].

mod agent_path;
mod bundle_format;
pub mod bundle_publisher_file;
#[cfg(feature = "kubernetes")]
pub mod bundle_publisher_k8s_configmap;
mod ca_check;
mod certificate;
mod certificate_path;
pub mod common_name;
pub mod container;
pub mod directory;
pub mod docker;
mod ecdsa;
pub mod external;
#[cfg(feature = "kubernetes")]
pub mod founding_record;
pub mod http_challenge;
pub mod join_token;
mod json;
pub mod k8s;
pub mod k8s_psat;
pub mod key_manager;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod registry;
#[cfg(feature = "seals")]
pub mod seal;
pub mod slurm;
pub mod sshpop;
pub mod systemd;
pub mod tpm_devid;
pub mod uniqueid;
pub mod unix;
pub mod upstream_disk;
pub mod upstream_spire;
pub mod x509pop;

pub use agent_path::{AgentPathTemplate, NoValue, TemplateError};
pub use bundle_format::BundleFormat;
pub use ca_check::{CaCheckError, check_ca};
pub use registry::{
    AGENT_PLUGINS, BuiltIn, EXTERNAL_AGENT_KINDS, EXTERNAL_SERVER_KINDS, Kind, SERVER_PLUGINS, is_built_in,
};
