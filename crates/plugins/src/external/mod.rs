//! Plugins that are programs of their own, over the protocol of hashicorp/go-plugin as SPIRE speaks it
//! (`docs/plugins/external.md`).
//!
//! ```text
//!   ExternalProgram (core)           what the block asks for
//!        │  process                  checked, started with the cookie, ends with us
//!        │  handshake                the line that tells its socket, under a time bound
//!   Plugin ── broker                 tells it of our socket, once
//!        ├── host_services           what it may ask us, on that socket
//!        ├── output                  what it prints, a bounded line at a time, into our log
//!        │   Init, Configure, Validate
//!   agent_node_attestor, bundle_publisher, credential_composer, key_manager, node_attestor, svid_store,
//!   upstream_authority, workload_attestor  our small plugin traits over its gRPC services
//! ```
//!
//! A plugin that ends is not started again (SPIRE behaviour): calls fail, and say that it has ended and with what.

mod agent_node_attestor;
mod bounds;
mod broker;
mod bundle_publisher;
mod catalog;
mod credential_composer;
mod handshake;
mod host_services;
mod key_manager;
mod launch_error;
mod node_attestor;
mod output;
mod plugin;
mod process;
mod program_file;
mod selectors;
mod svid_store;
mod upstream_authority;
mod workload_attestor;

pub use agent_node_attestor::ExternalAgentNodeAttestor;
pub use bounds::{Bounds, PLUGINS_MAX};
pub use bundle_publisher::{ExternalBundlePublisher, ExternalNotifier};
pub use catalog::Catalog;
pub use credential_composer::ExternalCredentialComposer;
pub use host_services::{HostIdentity, HostServices, ServerAnswers};
pub use key_manager::ExternalKeyManager;
pub use launch_error::{HandshakeError, LaunchError};
pub use node_attestor::ExternalNodeAttestor;
pub use plugin::Plugin;
pub use program_file::check_program;
pub use svid_store::ExternalSvidStore;
pub use upstream_authority::ExternalUpstreamAuthority;
pub use workload_attestor::ExternalWorkloadAttestor;
