//! SPIRE's configuration files, read into settings that are complete and checked.
//!
//! ```text
//!   file ── expand ── syntax (HCL1 or JSON -> Tree) ── section (weakly typed reading, unknown keys)
//!                                                          │
//!                     server::ServerFile / agent::AgentFile   what the file said
//!                                                          │  + overrides (flags) + defaults
//!                 server::ServerSettings / agent::AgentSettings + notices
//! ```
//!
//! Flags win over the file, the file over the defaults. A file that SPIRE refuses is refused here with SPIRE's text;
//! what only Steeple refuses (a plugin that it does not have, a key that it cannot honour) is refused by name. Nothing
//! is ignored in silence: a setting that no longer matters comes back as a [`Notice`].

mod agent;
mod common;
mod duration;
mod error;
mod expand;
mod load;
mod notice;
mod oidc;
mod plugin;
mod quote;
mod redact;
mod section;
mod server;
mod spiffe_helper;
mod suggest;
mod supported;
mod syntax;
mod unknown;

pub use agent::{
    AgentFile, AgentOverrides, AgentSettings, BrokerEntry, BrokerFile, BrokerSettings, BundleFormat,
    ExperimentalAgentFile, RebootstrapMode, ReferenceTypeEntry, ReferenceTypes, SdsSettings, TrustBootstrap,
    TrustBundleFile, WorkloadApiRateLimits,
};
pub use common::{
    Cidr, HealthFile, HealthSettings, HostPort, LogFile, LogFormat, LogLevel, LogSettings, ProfilingSettings,
    PrometheusSettings, PrometheusTls, SinkSettings, TelemetryFile, TelemetrySettings, domain_fault,
};
pub use duration::{DurationError, GoDuration};
pub use error::{ConfigError, DecodeError, validation_notes};
pub use expand::expand_env;
pub use load::{
    AGENT_CONFIG_PATH, Loaded, OIDC_CONFIG_PATH, SERVER_CONFIG_PATH, SPIFFE_HELPER_CONFIG_PATH, load_agent, load_oidc,
    load_server, load_spiffe_helper, redacted_config,
};
pub use notice::{Notice, NoticeLevel};
pub use oidc::{
    BaseUrl, OidcAcmeFile, OidcAcmeSettings, OidcFile, OidcHealthFile, OidcHealthSettings, OidcListener, OidcSettings,
    OidcSource, OidcSourceFile, OidcSourceKind, OidcTlsFile,
};
pub use plugin::{PluginBlock, PluginError};
pub use quote::go_quoted;
pub use section::Section;
pub use server::{
    AcmeSettings, AuditFile, AuditSettings, BackupFile, BackupPlace, BackupSettings, BundleEndpointFile,
    BundleEndpointSettings, CaSettings, CaSubject, ClusterFile, ClusterSettings, DEFAULT_SERVER_SOCKET,
    DeadServerCleanup, DeadServerCleanupFile, EndpointProfile, EndpointProfileFile, ExperimentalServerFile,
    FederatesWithFile, FederationFile, FederationSettings, FoundingRecord, FoundingRecordFile, Pkcs11Settings,
    PolicyFile, PolicyRole, PolicyRule, PolicySettings, PruneSettings, RaftTimings, RateLimitSettings, S3Credentials,
    S3File, S3Settings, S3Url, S3UrlError, SealFile, SealSettings, SecretFile, ServerFile, ServerOverrides,
    ServerSettings, ServingCert, ServingCertFile, Signing, TransitSettings, TtlSettings, WitSettings,
};
pub use spiffe_helper::{
    CommandLineError, FilePlace, HelperCommand, JwtSvidFile, JwtSvidPlace, SpiffeHelperFile, SpiffeHelperHealthFile,
    SpiffeHelperSettings, X509Places,
};
pub use suggest::nearest;
pub use supported::Supported;
pub use syntax::{Node, Span, SyntaxError, SyntaxFault, Tree, Value, parse, print};
pub use unknown::{UnknownConfiguration, UnknownKey, UnknownKeys};
