//! `server.conf`: what SPIRE's server reads, and our `cluster` section.

mod backup;
mod cluster;
mod dead_server_cleanup;
mod federation;
mod federation_file;
mod file;
mod notices;
mod resolve;
mod settings;
mod ttl;

pub use backup::{BackupFile, BackupSettings};
pub use cluster::{ClusterFile, ClusterSettings, RaftTimings};
pub use dead_server_cleanup::{DeadServerCleanup, DeadServerCleanupFile};
pub use federation::{AcmeSettings, BundleEndpointSettings, EndpointProfile, FederationSettings, ServingCert};
pub use federation_file::{
    BundleEndpointFile, EndpointProfileFile, FederatesWithFile, FederationFile, ServingCertFile,
};
pub use file::{ExperimentalServerFile, ServerFile};
pub use settings::{
    CaSettings, CaSubject, DEFAULT_SERVER_SOCKET, PruneSettings, RateLimitSettings, ServerOverrides, ServerSettings,
    WitSettings,
};
pub use ttl::TtlSettings;
