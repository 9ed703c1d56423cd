//! An `agent.conf` as it stands in the file: nothing is resolved, defaulted or checked yet.

use steeple_core::Secret;

use super::ExperimentalAgentFile;
use crate::common::{HealthFile, LogFile, ProfilingSettings, TelemetryFile};
use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{DecodeError, PluginBlock, SdsSettings, Tree};

#[derive(Debug, Default)]
pub struct AgentFile {
    pub admin_socket_path: Option<String>,
    pub allow_unauthenticated_verifiers: bool,
    pub allowed_foreign_jwt_claims: Vec<String>,
    pub authorized_delegates: Vec<String>,
    pub availability_target: Option<String>,
    pub data_dir: Option<String>,
    pub disable_sds_api: bool,
    pub disable_workload_api: bool,
    pub experimental: ExperimentalAgentFile,
    pub join_token: Option<Secret>,
    pub join_token_file: Option<String>,
    pub jwt_svid_cache_max_size: Option<i64>,
    pub log: LogFile,
    pub log_selectors: Vec<String>,
    /// Ours.
    pub persist_svids: bool,
    pub profiling: ProfilingSettings,
    pub rebootstrap_delay: Option<String>,
    pub rebootstrap_mode: Option<String>,
    pub sds: SdsSettings,
    pub server_address: Option<String>,
    /// Ours: further servers, `host` or `host:port`.
    pub server_addresses: Vec<String>,
    pub server_port: Option<i64>,
    pub socket_path: Option<String>,
    pub trust_bundle: TrustBundleFile,
    pub trust_domain: Option<String>,
    pub workload_x509_svid_key_type: Option<String>,
    pub x509_svid_cache_max_size: Option<i64>,
    /// `None` when there is no `plugins` section, which differs from an empty one.
    pub plugins: Option<Vec<PluginBlock>>,
    pub telemetry: TelemetryFile,
    pub health_checks: HealthFile,
}

/// The `trust_bundle_*` keys and `insecure_bootstrap`, from a file or from flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustBundleFile {
    pub path: Option<String>,
    pub url: Option<String>,
    pub unix_socket: Option<String>,
    pub spiffe_workload_api: Option<String>,
    pub format: Option<String>,
    pub insecure_bootstrap: bool,
}

impl AgentFile {
    /// Reads a parsed file; what nobody asked for comes back beside it.
    pub fn read(tree: &Tree) -> Result<(Self, Vec<UnknownKeys>), DecodeError> {
        let mut unknown = Vec::new();
        let mut file = Section::new("", tree);
        let mut read = match file.section("agent")? {
            Some(agent) => Self::read_agent(agent, &mut unknown)?,
            None => Self::default(),
        };
        if let Some(plugins) = file.tree("plugins")? {
            read.plugins = Some(PluginBlock::read_all(&plugins, &mut unknown)?);
        }
        read.telemetry = TelemetryFile::read(&mut file, &mut unknown)?;
        read.health_checks = HealthFile::read(&mut file, &mut unknown)?;
        file.finish("top-level", &mut unknown);
        Ok((read, unknown))
    }

    fn read_agent(mut agent: Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let read = Self {
            admin_socket_path: agent.text("admin_socket_path")?,
            allow_unauthenticated_verifiers: agent.flag("allow_unauthenticated_verifiers")?.unwrap_or_default(),
            allowed_foreign_jwt_claims: agent.texts("allowed_foreign_jwt_claims")?.unwrap_or_default(),
            authorized_delegates: agent.texts("authorized_delegates")?.unwrap_or_default(),
            availability_target: agent.text("availability_target")?,
            data_dir: agent.text("data_dir")?,
            disable_sds_api: agent.flag("disable_sds_api")?.unwrap_or_default(),
            disable_workload_api: agent.flag("disable_workload_api")?.unwrap_or_default(),
            experimental: ExperimentalAgentFile::read(&mut agent, unknown)?,
            join_token: agent.text("join_token")?.map(|token| Secret::new(token.into_bytes())),
            join_token_file: agent.text("join_token_file")?,
            jwt_svid_cache_max_size: agent.int("jwt_svid_cache_max_size")?,
            log: LogFile::read(&mut agent)?,
            log_selectors: agent.texts("log_selectors")?.unwrap_or_default(),
            persist_svids: agent.flag("persist_svids")?.unwrap_or_default(),
            profiling: ProfilingSettings::read(&mut agent)?,
            rebootstrap_delay: agent.text("rebootstrap_delay")?,
            rebootstrap_mode: agent.text("rebootstrap_mode")?,
            sds: SdsSettings::read(&mut agent, unknown)?,
            server_address: agent.text("server_address")?,
            server_addresses: agent.texts("server_addresses")?.unwrap_or_default(),
            server_port: agent.int("server_port")?,
            socket_path: agent.text("socket_path")?,
            trust_bundle: TrustBundleFile {
                path: agent.text("trust_bundle_path")?,
                url: agent.text("trust_bundle_url")?,
                unix_socket: agent.text("trust_bundle_unix_socket")?,
                spiffe_workload_api: agent.text("trust_bundle_spiffe_workload_api")?,
                format: agent.text("trust_bundle_format")?,
                insecure_bootstrap: agent.flag("insecure_bootstrap")?.unwrap_or_default(),
            },
            trust_domain: agent.text("trust_domain")?,
            workload_x509_svid_key_type: agent.text("workload_x509_svid_key_type")?,
            x509_svid_cache_max_size: agent.int("x509_svid_cache_max_size")?,
            ..Self::default()
        };
        agent.finish("agent", unknown);
        Ok(read)
    }
}

impl SdsSettings {
    fn read(agent: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let mut sds = Self::default();
        let Some(mut section) = agent.section("sds")? else {
            return Ok(sds);
        };
        let mut set = |key, name: &mut String| -> Result<(), DecodeError> {
            if let Some(text) = section.text(key)?.filter(|text| !text.is_empty()) {
                *name = text;
            }
            Ok(())
        };
        set("default_svid_name", &mut sds.default_svid_name)?;
        set("default_bundle_name", &mut sds.default_bundle_name)?;
        set("default_all_bundles_name", &mut sds.default_all_bundles_name)?;
        sds.disable_spiffe_cert_validation = section.flag("disable_spiffe_cert_validation")?.unwrap_or_default();
        section.finish("sds", unknown);
        Ok(sds)
    }
}
