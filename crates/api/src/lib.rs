//! What goes over the wire: SPIRE's APIs, the Workload API, Envoy's SDS, health, and our own protocols.
//!
//! The messages and services are generated from `proto/` by `cargo xtask codegen` and committed in `src/gen`; this file
//! gives each protobuf package a short path.
//!
//! ```text
//!   types              spire.api.types           shared messages
//!   server::*          spire.api.server.*.v1     SPIRE's server API
//!   agent::*           spire.[api.]agent.*.v1    SPIRE's agent admin API
//!   workload           (no package)              the SPIFFE Workload API
//!   broker             spiffe.broker             the SPIFFE Broker API
//!   health, rpc        grpc.health.v1, google.rpc
//!   envoy::*           the part of Envoy's v3 API that SDS needs
//!   steeple::*         steeple.*.v1              ours: peers, push to agents, administration, backup files
//!   external           SPIRE's plugin SDK and hashicorp/go-plugin: plugins that are programs of their own
//!   any                messages inside google.protobuf.Any
//!   convert            between messages and the core types
//!   status             statuses and the details of refusals
//!   push               what both ends of a push stream compute
//! ```

pub mod any;
pub mod convert;
mod methods;
pub mod push;
mod secrets;
pub mod status;

#[path = "gen/mod.rs"]
#[rustfmt::skip]
#[allow(clippy::all, rustdoc::all)]
mod generated;

pub use generated::google::rpc;
pub use generated::grpc::health::v1 as health;
pub use generated::spiffe::broker;
pub use generated::spire::api::types;
pub use methods::{is_of_server, methods_of, methods_where};

/// SPIRE's server API.
pub mod server {
    pub use crate::generated::spire::api::server::agent::v1 as agent;
    pub use crate::generated::spire::api::server::bundle::v1 as bundle;
    pub use crate::generated::spire::api::server::debug::v1 as debug;
    pub use crate::generated::spire::api::server::entry::v1 as entry;
    pub use crate::generated::spire::api::server::localauthority::v1 as localauthority;
    pub use crate::generated::spire::api::server::logger::v1 as logger;
    pub use crate::generated::spire::api::server::svid::v1 as svid;
    pub use crate::generated::spire::api::server::trustdomain::v1 as trustdomain;
}

/// SPIRE's agent admin API.
pub mod agent {
    pub use crate::generated::spire::agent::debug::v1 as debug;
    pub use crate::generated::spire::api::agent::delegatedidentity::v1 as delegatedidentity;
    pub use crate::generated::spire::api::agent::logger::v1 as logger;
}

/// The SPIFFE Workload API.
pub mod workload {
    pub use crate::generated::{
        JwtBundlesRequest, JwtBundlesResponse, Jwtsvid, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
        ValidateJwtsvidResponse, WitBundlesRequest, WitBundlesResponse, Witsvid, WitsvidRequest, WitsvidResponse,
        X509BundlesRequest, X509BundlesResponse, X509svid, X509svidRequest, X509svidResponse,
        spiffe_workload_api_client, spiffe_workload_api_server,
    };
}

/// Plugins that are programs of their own: SPIRE's plugin SDK, over hashicorp/go-plugin.
pub mod external {
    pub use crate::generated::plugin as go_plugin;
    pub use crate::generated::spire::hostservice::common::metrics::v1 as metrics;
    pub use crate::generated::spire::hostservice::server::agentstore::v1 as agentstore;
    pub use crate::generated::spire::hostservice::server::identityprovider::v1 as identityprovider;
    pub use crate::generated::spire::plugin::agent::keymanager::v1 as keymanager;
    pub use crate::generated::spire::plugin::agent::nodeattestor::v1 as agent_nodeattestor;
    pub use crate::generated::spire::plugin::agent::svidstore::v1 as svidstore;
    pub use crate::generated::spire::plugin::agent::workloadattestor::v1 as workloadattestor;
    pub use crate::generated::spire::plugin::server::bundlepublisher::v1 as bundlepublisher;
    pub use crate::generated::spire::plugin::server::credentialcomposer::v1 as credentialcomposer;
    pub use crate::generated::spire::plugin::server::nodeattestor::v1 as server_nodeattestor;
    pub use crate::generated::spire::plugin::server::notifier::v1 as notifier;
    pub use crate::generated::spire::plugin::server::upstreamauthority::v1 as upstreamauthority;
    pub use crate::generated::spire::plugin::types;
    pub use crate::generated::spire::service::common::config::v1 as config;
    pub use crate::generated::spire::service::private::init::v1 as init;
}

/// Envoy's secret discovery service, version 3.
pub mod envoy {
    pub use crate::generated::envoy::config::core::v3 as core;
    pub use crate::generated::envoy::extensions::transport_sockets::tls::v3 as tls;
    pub use crate::generated::envoy::service::discovery::v3 as discovery;
    pub use crate::generated::envoy::service::secret::v3 as sds;
}

/// Our own protocols.
pub mod steeple {
    pub use crate::generated::steeple::agent::v1 as agent;
    pub use crate::generated::steeple::backup::v1 as backup;
    pub use crate::generated::steeple::peer::v1 as peer;
    pub use crate::generated::steeple::server::v1 as server;
}

/// Every .proto file of this crate with its imports, encoded: for reflection and for tests.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptors.bin");
