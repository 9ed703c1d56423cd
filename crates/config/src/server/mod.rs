//! `server.conf`: what SPIRE's server reads, and our `cluster` section.

mod audit;
mod backup;
mod cluster;
mod dead_server_cleanup;
mod federation;
mod federation_file;
mod file;
mod founding;
mod notices;
mod policy;
mod resolve;
mod s3;
mod seal;
mod sealing_key;
mod secret;
mod settings;
mod ttl;

pub use audit::{AuditFile, AuditSettings};
pub use backup::{BackupFile, BackupPlace, BackupSettings};
pub use cluster::{ClusterFile, ClusterSettings, RaftTimings, Signing};
pub use dead_server_cleanup::{DeadServerCleanup, DeadServerCleanupFile};
pub use federation::{AcmeSettings, BundleEndpointSettings, EndpointProfile, FederationSettings, ServingCert};
pub use federation_file::{
    BundleEndpointFile, EndpointProfileFile, FederatesWithFile, FederationFile, ServingCertFile,
};
pub use file::{ExperimentalServerFile, ServerFile};
pub use founding::{FoundingRecord, FoundingRecordFile};
pub use policy::{PolicyFile, PolicyRole, PolicyRule, PolicySettings};
pub use s3::{S3Credentials, S3File, S3Settings, S3Url, S3UrlError};
pub use seal::{Pkcs11Settings, SealFile, SealSettings, TransitSettings};
pub use secret::SecretFile;
pub use settings::{
    CaSettings, CaSubject, DEFAULT_SERVER_SOCKET, PruneSettings, RateLimitSettings, ServerOverrides, ServerSettings,
    WitSettings,
};
pub use ttl::TtlSettings;
