//! From what the file and the flags said to complete settings.

use std::path::Path;
use std::time::Duration;

use steeple_core::{KeyType, Secret, SpiffeId, TrustDomain, unreadable};

use super::{AgentFile, AgentOverrides, AgentSettings, RebootstrapMode, TrustBootstrap};
use crate::common::{absolute, feature_flags, given, lasting, trust_domain};
use crate::notice::Notice;
use crate::plugin::{check_agent, check_declared_once};
use crate::quote::go_quoted;
use crate::unknown::UnknownKeys;
use crate::{
    ConfigError, GoDuration, HostPort, Loaded, Node, PluginBlock, Span, Supported, Tree, UnknownConfiguration, Value,
};

impl AgentSettings {
    /// An agent without a file: data in `./agent-data`, the agent's key kept there (KeyManager `disk`), attestation by
    /// join token, workloads attested by `unix`, port 8081. Flags have to name the server, the trust domain, a token
    /// and a trust bundle.
    pub fn embedded_default(
        overrides: &AgentOverrides,
        supported: &Supported<'_>,
        working_dir: &Path,
    ) -> Result<Loaded<Self>, ConfigError> {
        let directory = Node {
            key: "directory".into(),
            span: Span::UNKNOWN,
            value: Value::Text(given(&overrides.data_dir).unwrap_or(EMBEDDED_DATA_DIR).into()),
        };
        let plugin = |kind: &str, name: &str, nodes| PluginBlock {
            kind: kind.into(),
            name: name.into(),
            span: Span::UNKNOWN,
            enabled: true,
            plugin_cmd: None,
            args: Vec::new(),
            checksum: None,
            data: Some(Tree { nodes }),
            data_file: None,
        };
        let file = AgentFile {
            data_dir: Some(EMBEDDED_DATA_DIR.into()),
            server_port: Some(EMBEDDED_SERVER_PORT),
            plugins: Some(vec![
                plugin("NodeAttestor", "join_token", Vec::new()),
                plugin("KeyManager", "disk", vec![directory]),
                plugin("WorkloadAttestor", "unix", Vec::new()),
            ]),
            ..AgentFile::default()
        };
        Self::resolve_file(&file, Vec::new(), overrides, supported, working_dir)
    }

    /// Flags over file over defaults, checked in SPIRE's order so that the first complaint is SPIRE's too. Reads the
    /// join token file.
    pub fn resolve(
        file: &AgentFile,
        unknown: Vec<UnknownKeys>,
        overrides: &AgentOverrides,
        supported: &Supported<'_>,
        working_dir: &Path,
    ) -> Result<Loaded<Self>, ConfigError> {
        Self::resolve_file(file, unknown.clone(), overrides, supported, working_dir)
            .map_err(|error| error.beside(unknown))
    }

    fn resolve_file(
        file: &AgentFile,
        unknown: Vec<UnknownKeys>,
        overrides: &AgentOverrides,
        supported: &Supported<'_>,
        working_dir: &Path,
    ) -> Result<Loaded<Self>, ConfigError> {
        let mut notices = Vec::new();
        let experimental = &file.experimental;
        feature_flags(&experimental.feature_flags, &mut notices)?;
        let plugins = file.plugins.clone().ok_or(ConfigError::Missing { what: "plugins section" })?;

        let token = overrides.join_token.as_ref().or(file.join_token.as_ref());
        let token = token.filter(|token| !token.expose().is_empty());
        let token_file = given(&overrides.join_token_file).or(given(&file.join_token_file));
        if token.is_some() && token_file.is_some() {
            let message = "only one of join_token or join_token_file can be specified, not both";
            return Err(ConfigError::invalid("join_token", message));
        }
        let servers = servers(file, overrides)?;
        let trust_domain_text = given(&overrides.trust_domain).or(given(&file.trust_domain));
        let trust_domain_text = trust_domain_text.ok_or(ConfigError::Missing { what: "trust_domain" })?;
        let bootstrap = file.trust_bundle.under(&overrides.trust_bundle).resolve()?;
        experimental.refuse()?;

        let mode = given(&overrides.rebootstrap_mode).or(given(&file.rebootstrap_mode)).unwrap_or_default();
        let rebootstrap_mode = RebootstrapMode::read(mode)?;
        if rebootstrap_mode != RebootstrapMode::Never && bootstrap == TrustBootstrap::Insecure {
            let message = "insecure_bootstrap option can not be used with rebootstrapping";
            return Err(ConfigError::invalid("rebootstrap_mode", message));
        }
        let rebootstrap_delay = rebootstrap_delay(file, overrides)?;
        let sync_interval = experimental.sync_interval()?;
        let log = file.log.resolve(&overrides.log())?;
        let jwt_svid_cache_hit_timeout = experimental.jwt_svid_cache_hit_timeout()?;
        if experimental.use_sync_authorized_entries.is_some() {
            notices.push(Notice::warn(
                "The 'use_sync_authorized_entries' configuration is deprecated. The option to disable it will be \
                 removed in SPIRE 1.13.",
            ));
        }
        let x509_svid_cache_max = cache_size("x509_svid_cache_max_size", file.x509_svid_cache_max_size)?;
        let jwt_svid_cache_max = cache_size("jwt_svid_cache_max_size", file.jwt_svid_cache_max_size)?;
        let trust_domain = trust_domain(trust_domain_text)?;

        let disable_workload_api = overrides.disable_workload_api || file.disable_workload_api;
        let disable_sds_api = overrides.disable_sds_api || file.disable_sds_api;
        let socket_path = given(&overrides.socket_path).or(given(&file.socket_path)).unwrap_or(SOCKET_PATH);
        let socket_path =
            (!disable_workload_api || !disable_sds_api).then(|| absolute(Path::new(socket_path), working_dir));
        let admin_socket_path = given(&file.admin_socket_path).map(|path| absolute(Path::new(path), working_dir));
        check_admin_socket(admin_socket_path.as_deref(), socket_path.as_deref())?;
        let join_token = match token_file {
            Some(path) => Some(read_token(path)?),
            None => token.map(Secret::duplicate),
        };
        if file.sds.default_all_bundles_name == file.sds.default_bundle_name {
            notices.push(Notice::warn(
                "The \"default_bundle_name\" and \"default_all_bundles_name\" configurables have the same value. \
                 \"default_all_bundles_name\" will be ignored. Please configure distinct values or use the defaults. \
                 This will be a configuration error in a future release.",
            ));
        }
        let workload_key_type = workload_key_type(&file.workload_x509_svid_key_type)?;
        check_declared_once(&plugins)?;
        if !unknown.is_empty() {
            return Err(UnknownConfiguration(unknown).into());
        }
        let authorized_delegates = delegates(&file.authorized_delegates, &trust_domain)?;
        let broker = experimental.broker.as_ref().map(|broker| broker.resolve(socket_path.as_deref(), working_dir));
        let broker = broker.transpose()?;
        let availability_target = availability_target(&file.availability_target)?;
        let rate_limits = experimental.rate_limits()?;
        check_agent(&plugins, supported)?;
        let forgets = |plugin: &PluginBlock| plugin.name == "memory" || plugin.plugin_cmd.is_some();
        let key_is_kept =
            !plugins.iter().any(|plugin| plugin.kind == "KeyManager" && plugin.enabled && forgets(plugin));
        if file.persist_svids && !key_is_kept {
            let message = "persist_svids needs the agent's key after a restart: use KeyManager \"disk\", not \
                           \"memory\" or an external one";
            return Err(ConfigError::invalid("persist_svids", message));
        }
        if *experimental != Default::default() {
            notices.push(Notice::warn(
                "Experimental features have been enabled. Please see doc/upgrading.md for upgrade and compatibility \
                 considerations for experimental features.",
            ));
        }
        let data_dir = given(&overrides.data_dir).or(given(&file.data_dir)).unwrap_or(".");
        let allow_unauthenticated_verifiers =
            overrides.allow_unauthenticated_verifiers || file.allow_unauthenticated_verifiers;
        let settings = Self {
            config_path: None,
            trust_domain,
            data_dir: absolute(Path::new(data_dir), working_dir),
            servers,
            socket_path,
            admin_socket_path,
            disable_workload_api,
            disable_sds_api,
            bootstrap,
            rebootstrap_mode,
            rebootstrap_delay,
            join_token,
            workload_key_type,
            availability_target,
            persist_svids: file.persist_svids,
            x509_svid_cache_max,
            jwt_svid_cache_max,
            allow_unauthenticated_verifiers,
            allowed_foreign_jwt_claims: file.allowed_foreign_jwt_claims.clone(),
            authorized_delegates,
            log_selectors: file.log_selectors.clone(),
            sds: file.sds.clone(),
            log,
            sync_interval,
            jwt_svid_cache_hit_timeout,
            use_sync_authorized_entries: experimental.use_sync_authorized_entries.unwrap_or(true),
            require_pq_kem: experimental.require_pq_kem,
            broker,
            rate_limits,
            profiling: file.profiling.clone(),
            plugins,
            telemetry: file.telemetry.resolve()?,
            health_checks: file.health_checks.resolve()?,
        };
        Ok(Loaded { settings, notices })
    }
}

/// `server_address` and `server_port` first, then `server_addresses`; an address on the command line stands alone.
fn servers(file: &AgentFile, overrides: &AgentOverrides) -> Result<Vec<HostPort>, ConfigError> {
    let from_flag = given(&overrides.server_address);
    let listed: &[String] = if from_flag.is_some() { &[] } else { &file.server_addresses };
    let address = from_flag.or(given(&file.server_address));
    if address.is_none() && listed.is_empty() {
        return Err(ConfigError::Missing { what: "server_address" });
    }
    let set = |port: Option<i64>| port.filter(|port| *port != 0);
    let port = match set(overrides.server_port).or(set(file.server_port)) {
        Some(port) => Some(u16::try_from(port).map_err(|_| {
            let message = format!("server_port {port} is not a port from 1 to 65535");
            ConfigError::invalid("server_port", message)
        })?),
        None => None,
    };
    let mut servers = Vec::new();
    if let Some(address) = address {
        servers.push(HostPort::new(address, port.ok_or(ConfigError::Missing { what: "server_port" })?));
    }
    for text in listed {
        let server = HostPort::parse(text, port)
            .map_err(|reason| ConfigError::invalid("server_addresses", format!("server_addresses: {reason}")))?;
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    if servers.len() > SERVERS_MAX {
        let message = format!("server_addresses: {} are named, at most {SERVERS_MAX} are used", servers.len());
        return Err(ConfigError::invalid("server_addresses", message));
    }
    Ok(servers)
}

fn rebootstrap_delay(file: &AgentFile, overrides: &AgentOverrides) -> Result<Duration, ConfigError> {
    let Some(text) = given(&overrides.rebootstrap_delay).or(given(&file.rebootstrap_delay)) else {
        return Ok(REBOOTSTRAP_DELAY);
    };
    let parsed: GoDuration = text.parse().map_err(|error| {
        ConfigError::invalid("rebootstrap_delay", format!("error parsing rebootstrap delay duration: {error}"))
    })?;
    lasting("rebootstrap_delay", Some(parsed), Duration::ZERO)
}

fn cache_size(key: &'static str, size: Option<i64>) -> Result<usize, ConfigError> {
    match size.unwrap_or_default() {
        0 => Ok(CACHE_SIZE),
        size => usize::try_from(size).map_err(|_| ConfigError::invalid(key, format!("{key} should not be negative"))),
    }
}

/// Whoever may enter the public socket's directory must not find the admin socket there.
fn check_admin_socket(admin: Option<&Path>, public: Option<&Path>) -> Result<(), ConfigError> {
    let (Some(admin), Some(public_dir)) = (admin, public.and_then(Path::parent)) else {
        return Ok(());
    };
    if admin.starts_with(public_dir) {
        let message = "admin socket cannot be in the same directory or a subdirectory as that containing the Workload \
                       API socket";
        return Err(ConfigError::invalid("admin_socket_path", message));
    }
    Ok(())
}

fn read_token(path: &str) -> Result<Secret, ConfigError> {
    let invalid = |message: String| ConfigError::invalid("join_token_file", message);
    let bytes = std::fs::read(path)
        .map_err(|error| unreadable(Path::new(path), &error))
        .map_err(|why| invalid(format!("unable to read join token file {}: {why}", go_quoted(path))))?;
    let bytes = Secret::new(bytes);
    let token = bytes.expose().trim_ascii();
    if token.is_empty() {
        return Err(invalid("join token file is empty".into()));
    }
    Ok(Secret::new(token.to_vec()))
}

fn workload_key_type(text: &Option<String>) -> Result<KeyType, ConfigError> {
    let Some(text) = given(text) else {
        return Ok(KeyType::EcP256);
    };
    let known = KeyType::from_name(&text.to_ascii_lowercase()).filter(|kind| *kind != KeyType::Rsa4096);
    known.ok_or_else(|| {
        let message = format!("key type {} is unknown; must be one of [rsa-2048, ec-p256, ec-p384]", go_quoted(text));
        ConfigError::invalid("workload_x509_svid_key_type", message)
    })
}

fn delegates(texts: &[String], trust_domain: &TrustDomain) -> Result<Vec<SpiffeId>, ConfigError> {
    let parse = |text: &String| {
        let invalid = |reason: String| {
            let message = format!("error validating authorized delegate: {reason}");
            ConfigError::invalid("authorized_delegates", message)
        };
        let id = SpiffeId::parse(text).map_err(|error| invalid(error.to_string()))?;
        if !id.is_member_of(trust_domain) {
            let domain = go_quoted(trust_domain.name());
            let reason = format!("SPIFFE ID {} is not a member of trust domain {domain}", go_quoted(id.as_str()));
            return Err(invalid(reason));
        }
        Ok(id)
    };
    texts.iter().map(parse).collect()
}

fn availability_target(text: &Option<String>) -> Result<Option<Duration>, ConfigError> {
    let Some(text) = given(text) else {
        return Ok(None);
    };
    let invalid = |message: String| ConfigError::invalid("availability_target", message);
    let parsed: GoDuration =
        text.parse().map_err(|error| invalid(format!("unable to parse availability_target: {error}")))?;
    let target = parsed.to_std().filter(|target| *target >= AVAILABILITY_TARGET_MIN);
    target.map(Some).ok_or_else(|| {
        let min = GoDuration::from(AVAILABILITY_TARGET_MIN);
        invalid(format!("availability_target must be at least {min}"))
    })
}

const SOCKET_PATH: &str = "/tmp/spire-agent/public/api.sock";
const EMBEDDED_DATA_DIR: &str = "./agent-data";
const EMBEDDED_SERVER_PORT: i64 = 8081;
const REBOOTSTRAP_DELAY: Duration = Duration::from_secs(10 * 60);
const AVAILABILITY_TARGET_MIN: Duration = Duration::from_secs(24 * 3_600);
const CACHE_SIZE: usize = 1_000;
/// Each may keep a connection; a cluster has five replicas at most.
const SERVERS_MAX: usize = 16;
