//! From what the file and the flags said to complete settings.

use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Duration;

use steeple_core::{KeyType, SpiffeId};

use super::{
    CaSettings, CaSubject, DEFAULT_SERVER_SOCKET, FederationSettings, PruneSettings, RateLimitSettings, ServerFile,
    ServerOverrides, ServerSettings, TtlSettings, WitSettings, cluster, federation, notices, ttl,
};
use crate::common::{absolute, duration, feature_flags, given, lasting, present_duration, trust_domain};
use crate::notice::Notice;
use crate::plugin::{check_declared_once, check_server};
use crate::quote::go_quoted;
use crate::unknown::UnknownKeys;
use crate::{Cidr, ConfigError, GoDuration, HostPort, Loaded, OidcSettings, Supported, UnknownConfiguration};

impl ServerSettings {
    /// A single server without a file: trust domain `example.org`, data in `./data`, SPIRE's ports and socket.
    ///
    /// # Errors
    /// Only what `overrides` makes wrong.
    pub fn embedded_default(
        overrides: &ServerOverrides,
        supported: &Supported<'_>,
        working_dir: &Path,
    ) -> Result<Loaded<Self>, ConfigError> {
        let file = ServerFile {
            trust_domain: Some(EMBEDDED_TRUST_DOMAIN.into()),
            data_dir: Some(EMBEDDED_DATA_DIR.into()),
            plugins: Some(Vec::new()),
            ..ServerFile::default()
        };
        let (own_file, unknown) = (true, Vec::new());
        Self::resolve_file(&file, unknown, own_file, overrides, supported, working_dir)
    }

    /// Flags over file over defaults, checked in SPIRE's order so that the first complaint is SPIRE's too.
    pub fn resolve(
        file: &ServerFile,
        unknown: Vec<UnknownKeys>,
        overrides: &ServerOverrides,
        supported: &Supported<'_>,
        working_dir: &Path,
    ) -> Result<Loaded<Self>, ConfigError> {
        let own_file = file.cluster.is_some();
        Self::resolve_file(file, unknown.clone(), own_file, overrides, supported, working_dir)
            .map_err(|error| error.beside(unknown))
    }

    fn resolve_file(
        file: &ServerFile,
        unknown: Vec<UnknownKeys>,
        own_file: bool,
        overrides: &ServerOverrides,
        supported: &Supported<'_>,
        working_dir: &Path,
    ) -> Result<Loaded<Self>, ConfigError> {
        let mut said = Vec::new();
        let experimental = &file.experimental;
        let wit_svids = feature_flags(&experimental.feature_flags, &mut said)?;

        let bind_address = given(&overrides.bind_address).or(given(&file.bind_address)).unwrap_or("0.0.0.0");
        let set = |port: Option<i64>| port.filter(|port| *port != 0);
        let bind_port = set(overrides.bind_port).or(set(file.bind_port)).unwrap_or(8081);
        let trust_domain_text = given(&overrides.trust_domain).or(given(&file.trust_domain));
        let trust_domain_text = trust_domain_text.ok_or(ConfigError::Missing { what: "trust_domain" })?;
        let data_dir = given(&overrides.data_dir).or(given(&file.data_dir));
        let data_dir = absolute(Path::new(data_dir.ok_or(ConfigError::Missing { what: "data_dir" })?), working_dir);
        let plugins = match &file.plugins {
            Some(plugins) => plugins.clone(),
            None if own_file => Vec::new(),
            None => return Err(ConfigError::Missing { what: "plugins section" }),
        };
        if let Some(federation) = &file.federation {
            federation::check(federation)?;
        }
        let proxy_protocol_trusted_cidrs = cidrs(&file.proxy_protocol_trusted_cidrs)?;
        notices::refuse(experimental)?;

        let log = file.log.resolve(&overrides.log())?;
        let bind = bind(bind_address, bind_port)?;
        let trust_domain = trust_domain(trust_domain_text)?;
        let federation = match &file.federation {
            Some(federation) => federation::resolve(federation, &trust_domain, &mut said)?,
            None => FederationSettings::default(),
        };
        // Unlike others, this one must not be empty when it is given.
        let staleness = present_duration("max attested node staleness", &file.max_attested_node_info_staleness)?;
        let max_attested_node_info_staleness = lasting("max_attested_node_info_staleness", staleness, Duration::ZERO)?;
        let admin_ids = admin_ids(&file.admin_ids)?;
        let ttl = ttl_settings(file, own_file, &mut said)?;
        let ca = ca_settings(file, &mut said)?;
        let wit_key_type = key_type("wit_key_type", &experimental.wit_key_type)?.unwrap_or(ca.key_type);
        check_declared_once(&plugins)?;
        let prune_attested_nodes = prune_settings(file)?;
        if !unknown.is_empty() {
            return Err(UnknownConfiguration(unknown).into());
        }
        notices::remark(file, &mut said)?;
        said.extend(check_server(&plugins, supported, own_file)?);
        if *experimental != Default::default() {
            said.push(Notice::warn(
                "Experimental features have been enabled. Please see doc/upgrading.md for upgrade and compatibility \
                 considerations for experimental features.",
            ));
        }

        let around = cluster::Surroundings { api_bind: &bind, data_dir: &data_dir, working_dir };
        let cluster = cluster::resolve(file.cluster.as_ref(), &around, &mut said)?;
        let oidc = match &file.oidc {
            Some(oidc) => Some(OidcSettings::resolve_block(oidc, working_dir, &mut said)?),
            None => None,
        };
        let socket_path = given(&overrides.socket_path).or(given(&file.socket_path)).unwrap_or(DEFAULT_SERVER_SOCKET);
        let settings = Self {
            config_path: None,
            socket_path: absolute(Path::new(socket_path), working_dir),
            trust_domain,
            data_dir,
            bind,
            admin_ids,
            ttl,
            ca,
            audit: file.audit.as_ref().map(|audit| audit.resolve(working_dir)).transpose()?,
            audit_log_enabled: file.audit_log_enabled,
            disable_jwt_svids: file.disable_jwt_svids,
            log,
            max_attested_node_info_staleness,
            prune_attested_nodes,
            proxy_protocol_trusted_cidrs,
            rate_limit: RateLimitSettings {
                attestation: file.ratelimit_attestation.unwrap_or(true),
                signing: file.ratelimit_signing.unwrap_or(true),
            },
            federation,
            agent_spiffe_id_as_selector: experimental.agent_spiffe_id_as_selector,
            require_pq_kem: experimental.require_pq_kem,
            wit: wit_svids.then(|| WitSettings {
                key_type: wit_key_type,
                issuer: given(&experimental.wit_issuer).map(Into::into),
            }),
            profiling: file.profiling.clone(),
            plugins,
            telemetry: file.telemetry.resolve()?,
            health_checks: file.health_checks.resolve()?,
            cluster,
            oidc,
            // Read from its own file: see `load_server`.
            policy: None,
        };
        Ok(Loaded { settings, notices: said })
    }
}

/// SPIRE resolves a name here, before it looks at anything that follows.
fn bind(address: &str, port: i64) -> Result<HostPort, ConfigError> {
    let refused = |key: &'static str, why: String| {
        ConfigError::invalid(key, format!("could not resolve bind address \"{address}:{port}\": {why}"))
    };
    let number = u16::try_from(port).map_err(|_| refused("bind_port", format!("address {port}: invalid port")))?;
    let bind = HostPort::new(address, number);
    match (bind.host.as_str(), bind.port).to_socket_addrs() {
        Ok(_) => Ok(bind),
        Err(_) => Err(refused("bind_address", format!("lookup {address}: no such host"))),
    }
}

fn cidrs(texts: &[String]) -> Result<Vec<Cidr>, ConfigError> {
    let parse = |text: &String| {
        Cidr::parse(text).ok_or_else(|| {
            let quoted = go_quoted(text);
            let message = format!("invalid proxy_protocol_trusted_cidrs value {quoted}: invalid CIDR address: {text}");
            ConfigError::invalid("proxy_protocol_trusted_cidrs", message)
        })
    };
    texts.iter().map(parse).collect()
}

fn admin_ids(texts: &[String]) -> Result<Vec<SpiffeId>, ConfigError> {
    let parse = |text: &String| {
        SpiffeId::parse(text).map_err(|error| ConfigError::Id { what: "admin ID", value: text.clone(), error })
    };
    texts.iter().map(parse).collect()
}

fn ttl_settings(file: &ServerFile, own_file: bool, notices: &mut Vec<Notice>) -> Result<TtlSettings, ConfigError> {
    let agent = duration("agent ttl", &file.agent_ttl)?;
    let x509_svid = duration("default X509 SVID ttl", &file.default_x509_svid_ttl)?;
    let x509_svid = lasting("default_x509_svid_ttl", x509_svid, ttl::X509_SVID)?;
    let jwt_svid = duration("default JWT SVID ttl", &file.default_jwt_svid_ttl)?;
    let settings = TtlSettings {
        agent: lasting("agent_ttl", agent, x509_svid)?,
        x509_svid,
        jwt_svid: lasting("default_jwt_svid_ttl", jwt_svid, ttl::JWT_SVID)?,
        ca: lasting("ca_ttl", duration("default CA ttl", &file.ca_ttl)?, ttl::CA)?,
    };
    match own_file {
        true => settings.check(agent.is_some())?,
        false => notices.extend(settings.warnings(agent.is_some())),
    }
    Ok(settings)
}

fn ca_settings(file: &ServerFile, notices: &mut Vec<Notice>) -> Result<CaSettings, ConfigError> {
    let ca_key_type = key_type("ca_key_type", &file.ca_key_type)?.unwrap_or_default();
    let subject = match &file.ca_subject {
        Some(subject) if *subject != CaSubject::default() => subject.clone(),
        Some(_) => {
            notices.push(Notice::warn("ca_subject configurable is set but empty; the default will be used"));
            CaSubject::spire_default()
        }
        None => CaSubject::spire_default(),
    };
    Ok(CaSettings {
        key_type: ca_key_type,
        jwt_key_type: key_type("jwt_key_type", &file.jwt_key_type)?.unwrap_or(ca_key_type),
        subject,
        jwt_issuer: given(&file.jwt_issuer).map(Into::into),
    })
}

fn key_type(key: &'static str, text: &Option<String>) -> Result<Option<KeyType>, ConfigError> {
    let Some(text) = given(text) else {
        return Ok(None);
    };
    KeyType::from_name(&text.to_ascii_lowercase()).map(Some).ok_or_else(|| {
        let known = "must be one of [rsa-2048, rsa-4096, ec-p256, ec-p384]";
        ConfigError::invalid(key, format!("error parsing {key}: key type {} is unknown; {known}", go_quoted(text)))
    })
}

fn prune_settings(file: &ServerFile) -> Result<Option<PruneSettings>, ConfigError> {
    let Some(text) = given(&file.prune_attested_nodes_expired_for) else {
        return Ok(None);
    };
    let key = "prune_attested_nodes_expired_for";
    let parsed: GoDuration =
        text.parse().map_err(|error| ConfigError::invalid(key, format!("could not parse {key}: {error}")))?;
    let expired_for = lasting(key, Some(parsed), Duration::ZERO)?;
    if expired_for.is_zero() {
        return Ok(None);
    }
    let size = file.prune_attested_nodes_batch_size.filter(|size| *size != 0).unwrap_or(PRUNE_BATCH_SIZE);
    let batch_size = u32::try_from(size).ok().filter(|size| *size <= PRUNE_BATCH_SIZE_MAX);
    let batch_size = batch_size.ok_or_else(|| ConfigError::Unsafe {
        key: "prune_attested_nodes_batch_size",
        value: size.to_string(),
        safe: format!("use 1 to {PRUNE_BATCH_SIZE_MAX}; the default is {PRUNE_BATCH_SIZE}"),
    })?;
    Ok(Some(PruneSettings { expired_for, batch_size, tofu_nodes: file.prune_tofu_nodes }))
}

const EMBEDDED_TRUST_DOMAIN: &str = "example.org";
const EMBEDDED_DATA_DIR: &str = "./data";
const PRUNE_BATCH_SIZE: i64 = 1_000;
/// One batch is one entry of the replicated log.
const PRUNE_BATCH_SIZE_MAX: u32 = 10_000;
