//! From what the file said to complete settings, checked in SPIRE's order and with SPIRE's texts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use steeple_core::TrustDomain;

use super::{
    BaseUrl, OidcAcmeFile, OidcAcmeSettings, OidcFile, OidcHealthSettings, OidcListener, OidcSettings, OidcSource,
    OidcSourceFile, OidcSourceKind, OidcTlsFile,
};
use crate::common::{absolute, acme_directory, check_domain};
use crate::notice::Notice;
use crate::quote::go_quoted;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, GoDuration, HostPort, Loaded, LogFile, ServingCert};

impl OidcSettings {
    /// A provider of its own. Unknown keys are remarked on, not refused: SPIRE's provider ignores them.
    pub fn resolve(
        file: &OidcFile,
        unknown: &[UnknownKeys],
        working_dir: &Path,
    ) -> Result<Loaded<(Self, OidcSource)>, ConfigError> {
        if file.domains.is_empty() {
            return Err(invalid("domains", "at least one domain must be configured"));
        }
        let sources = [&file.server_api, &file.workload_api, &file.file].into_iter().flatten().count();
        let listener = resolve_listener(file, working_dir)?;
        let source = match sources {
            0 => {
                let message = "exactly one of the server_api, workload_api, or file sections must be configured";
                return Err(invalid("server_api", message));
            }
            1 => resolve_source(file, working_dir)?,
            _ => {
                let message = "the server_api, workload_api, and file sections are mutually exclusive";
                return Err(invalid("server_api", message));
            }
        };
        let mut notices = Vec::new();
        let settings = Self::resolve_with(file, listener, &mut notices)?;
        let strangers = unknown.iter().flat_map(|section| {
            section.hints().map(move |hint| Notice::warn(format!("{}: {hint} is unknown and ignored", section.section)))
        });
        notices.extend(strangers);
        Ok(Loaded { settings: (settings, source), notices })
    }

    /// The `oidc {}` block of a server, which has the keys itself.
    pub(crate) fn resolve_block(
        file: &OidcFile,
        working_dir: &Path,
        notices: &mut Vec<Notice>,
    ) -> Result<Self, ConfigError> {
        if file.domains.is_empty() {
            return Err(invalid("oidc.domains", "oidc: at least one domain must be configured"));
        }
        for (key, is_set) in [
            ("oidc.server_api", file.server_api.is_some()),
            ("oidc.workload_api", file.workload_api.is_some()),
            ("oidc.file", file.file.is_some()),
        ] {
            if is_set {
                return Err(ConfigError::not_supported(key, "the server takes its own keys; remove the section"));
            }
        }
        if file.health_checks.is_some() || file.log != LogFile::default() {
            let instead = "the server's own log and health_checks cover it; remove the key";
            return Err(ConfigError::not_supported("oidc.health_checks and oidc.log_*", instead));
        }
        if file.acme.as_ref().is_some_and(|acme| acme.cache_dir.is_some()) {
            let instead = "the replicated log keeps what it would; remove the key";
            return Err(ConfigError::not_supported("oidc.acme.cache_dir", instead));
        }
        Self::resolve_with(file, resolve_listener(file, working_dir)?, notices)
    }

    fn resolve_with(file: &OidcFile, listener: OidcListener, notices: &mut Vec<Notice>) -> Result<Self, ConfigError> {
        for domain in &file.domains {
            check_domain("domains", domain)?;
        }
        let jwt_issuer = read_issuer(&file.jwt_issuer)?;
        let jwks_uri = read_jwks_uri(&file.jwks_uri)?;
        if jwks_uri.is_none() && jwt_issuer.is_some() {
            notices.push(Notice::warn(
                "jwt_issuer also decides the URL of the keys, because jwks_uri is not set: set jwks_uri",
            ));
        }
        if file.allow_insecure_scheme {
            notices.push(Notice::warn(
                "allow_insecure_scheme is enabled. JWKS keys will be served over HTTP. Only enable this when the \
                 network path to the provider is trusted end-to-end",
            ));
        }
        let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        let health = match &file.health_checks {
            None => None,
            Some(health) => {
                let port = if health.bind_port <= 0 { HEALTH_PORT } else { health.bind_port };
                let port = u16::try_from(port).map_err(|_| {
                    invalid("health_checks.bind_port", format!("health_checks.bind_port {port} is no port"))
                })?;
                Some(OidcHealthSettings {
                    listen: HostPort::new("::", port),
                    live_path: or(&health.live_path, "/live"),
                    ready_path: or(&health.ready_path, "/ready"),
                })
            }
        };
        let mut domains = file.domains.clone();
        domains.sort_unstable();
        domains.dedup();
        let prefix = file.server_path_prefix.trim_matches('/');
        Ok(Self {
            domains,
            listener,
            allow_insecure_scheme: file.allow_insecure_scheme,
            set_key_use: file.set_key_use,
            jwt_issuer,
            jwks_uri,
            path_prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") },
            issuer_path: issuer_path(&file.server_path_prefix),
            log_requests: file.log_requests,
            log: file.log.resolve(&LogFile::default())?,
            health,
        })
    }
}

fn issuer_path(prefix: &str) -> String {
    match prefix {
        "" | "/" => String::new(),
        _ if prefix.starts_with('/') => prefix.to_owned(),
        _ => format!("/{prefix}"),
    }
}

fn resolve_listener(file: &OidcFile, working_dir: &Path) -> Result<OidcListener, ConfigError> {
    let exclusive = |one: &str, other: &str| invalid("acme", format!("{one} and {other} are mutually exclusive"));
    let (insecure, socket) = (!file.insecure_addr.is_empty(), !file.listen_socket_path.is_empty());
    if let Some(acme) = &file.acme {
        if insecure {
            return Err(invalid("acme", "insecure_addr and the acme section are mutually exclusive"));
        }
        let listener = resolve_acme(acme, working_dir)?;
        return match file.serving_cert_file {
            Some(_) => Err(exclusive("acme", "serving_cert_file")),
            None if socket => Err(invalid("acme", "listen_socket_path and the acme section are mutually exclusive")),
            None => Ok(listener),
        };
    }
    match &file.serving_cert_file {
        Some(_) if insecure => Err(exclusive("serving_cert_file", "insecure_addr")),
        Some(_) if socket => Err(exclusive("serving_cert_file", "listen_socket_path")),
        Some(tls) => resolve_tls(tls),
        None if insecure && socket => Err(exclusive("insecure_addr", "listen_socket_path")),
        None if insecure => Ok(OidcListener::Insecure(listen_address("insecure_addr", &file.insecure_addr)?)),
        None if socket => Ok(OidcListener::Socket(absolute(Path::new(&file.listen_socket_path), working_dir))),
        None => {
            let message = "either acme, serving_cert_file, insecure_addr or listen_socket_path must be configured";
            Err(invalid("serving_cert_file", message))
        }
    }
}

fn resolve_acme(acme: &OidcAcmeFile, working_dir: &Path) -> Result<OidcListener, ConfigError> {
    if !acme.tos_accepted {
        let message = "tos_accepted must be set to true in the acme configuration section";
        return Err(invalid("acme.tos_accepted", message));
    }
    if acme.email.is_empty() {
        return Err(invalid("acme.email", "email must be configured in the acme configuration section"));
    }
    let addr = if acme.addr.is_empty() { ":443" } else { &acme.addr };
    // Empty on purpose: nothing is cached.
    let cache_dir = acme.cache_dir.as_deref().unwrap_or(ACME_CACHE_DIR);
    Ok(OidcListener::Acme {
        listen: listen_address("acme.addr", addr)?,
        acme: OidcAcmeSettings {
            directory_url: acme_directory("acme.directory_url", &acme.directory_url)?,
            email: acme.email.clone(),
            cache_dir: (!cache_dir.is_empty()).then(|| absolute(Path::new(cache_dir), working_dir)),
        },
    })
}

fn resolve_tls(tls: &OidcTlsFile) -> Result<OidcListener, ConfigError> {
    let needed = |key: &'static str, text: &str| match text {
        "" => Err(invalid(key, format!("{key} must be configured in the serving_cert_file configuration section"))),
        path => Ok(PathBuf::from(path)),
    };
    let addr = if tls.addr.is_empty() { ":443" } else { &tls.addr };
    Ok(OidcListener::Tls {
        cert: ServingCert {
            cert_file_path: needed("cert_file_path", &tls.cert_file_path)?,
            key_file_path: needed("key_file_path", &tls.key_file_path)?,
            file_sync_interval: interval(
                "file_sync_interval",
                "serving_cert_file",
                tls.file_sync_interval.as_deref(),
                FILE_SYNC_INTERVAL,
            )?,
        },
        listen: listen_address("serving_cert_file.addr", addr)?,
    })
}

fn resolve_source(file: &OidcFile, working_dir: &Path) -> Result<OidcSource, ConfigError> {
    let poll = |section: &'static str, source: &OidcSourceFile| {
        interval("poll_interval", section, source.poll_interval.as_deref(), POLL_INTERVAL)
    };
    if let Some(source) = &file.server_api {
        let poll_interval = poll("server_api", source)?;
        if source.place.is_empty() {
            let message = "address must be configured in the server_api configuration section";
            return Err(invalid("server_api.address", message));
        }
        let path = source.place.strip_prefix("unix:").ok_or_else(|| {
            let message = "address must use the unix name system in the server_api configuration section";
            invalid("server_api.address", message)
        })?;
        // gRPC's names: `unix:path` and `unix:///absolute/path`.
        let path = path.strip_prefix("//").unwrap_or(path);
        let kind = OidcSourceKind::ServerApi { socket_path: absolute(Path::new(path), working_dir) };
        return Ok(OidcSource { kind, poll_interval });
    }
    if let Some(source) = &file.workload_api {
        if source.trust_domain.is_empty() {
            let message = "trust_domain must be configured in the workload_api configuration section";
            return Err(invalid("workload_api.trust_domain", message));
        }
        let poll_interval = poll("workload_api", source)?;
        if source.place.is_empty() {
            let message = "socket_path must be configured in the workload_api configuration section";
            return Err(invalid("workload_api.socket_path", message));
        }
        let trust_domain = TrustDomain::parse(&source.trust_domain)
            .map_err(|error| invalid("workload_api.trust_domain", error.to_string()))?;
        let socket_path = absolute(Path::new(&source.place), working_dir);
        return Ok(OidcSource { kind: OidcSourceKind::WorkloadApi { socket_path, trust_domain }, poll_interval });
    }
    let source = file.file.clone().unwrap_or_default();
    if source.place.is_empty() {
        return Err(invalid("file.path", "path must be configured in the file configuration section"));
    }
    let kind = OidcSourceKind::File { path: absolute(Path::new(&source.place), working_dir) };
    Ok(OidcSource { kind, poll_interval: poll("file", &source)? })
}

/// SPIRE behaviour: a duration that is not positive means the default.
fn interval(
    key: &'static str,
    section: &'static str,
    text: Option<&str>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(default);
    };
    let parsed: GoDuration = text
        .parse()
        .map_err(|error| invalid(key, format!("invalid {key} in the {section} configuration section: {error}")))?;
    Ok(parsed.to_std().filter(|duration| !duration.is_zero()).unwrap_or(default))
}

/// Go's notation, in which `:443` means every local address.
fn listen_address(key: &'static str, text: &str) -> Result<HostPort, ConfigError> {
    let full = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    HostPort::parse(&full, None).map_err(|reason| invalid(key, format!("invalid {key} {}: {reason}", go_quoted(text))))
}

/// RFC 1123 names. Names with other letters have to be given in their ASCII form, as in SPIRE.
fn read_issuer(text: &str) -> Result<Option<BaseUrl>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    let (scheme, host) = match text.split_once("://") {
        None => return Err(invalid("jwt_issuer", "the jwt_issuer url must contain a scheme")),
        Some((scheme, rest)) => (scheme, rest.split(['/', '?', '#']).next().unwrap_or_default()),
    };
    if scheme.is_empty() {
        return Err(invalid("jwt_issuer", "the jwt_issuer url must contain a scheme"));
    }
    if host.is_empty() {
        return Err(invalid("jwt_issuer", "the jwt_issuer url must contain a host"));
    }
    match split_url(text) {
        Some(url) => Ok(Some(url)),
        None => Err(invalid("jwt_issuer", format!("the jwt_issuer url could not be parsed: {}", go_quoted(text)))),
    }
}

fn read_jwks_uri(text: &str) -> Result<Option<BaseUrl>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    match split_url(text) {
        Some(url) => Ok(Some(url)),
        None => {
            let message = format!("the jwks_uri setting could not be parsed: {}", go_quoted(text));
            Err(invalid("jwks_uri", message))
        }
    }
}

/// An absolute URL (RFC 3986) without user information. `None` when it is none.
fn split_url(text: &str) -> Option<BaseUrl> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, rest) = rest.split_at(host_end);
    let path_end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (path, rest) = rest.split_at(path_end);
    let is_host =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    let is_printable = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
    (is_scheme && is_host && is_printable).then(|| BaseUrl {
        scheme: scheme.to_ascii_lowercase(),
        host: host.to_owned(),
        path: path.to_owned(),
        rest: rest.to_owned(),
    })
}

fn invalid(key: &'static str, message: impl Into<String>) -> ConfigError {
    ConfigError::invalid(key, message)
}

const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// SPIRE's.
const ACME_CACHE_DIR: &str = "./.acme-cache";
const FILE_SYNC_INTERVAL: Duration = Duration::from_secs(60);
const HEALTH_PORT: i64 = 8008;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn load(text: &str) -> Result<Loaded<(OidcSettings, OidcSource)>, String> {
        let tree = parse(text.as_bytes()).unwrap();
        let (file, unknown) = OidcFile::read(&tree).map_err(|error| error.to_string())?;
        OidcSettings::resolve(&file, &unknown, Path::new("/srv")).map_err(|error| error.to_string())
    }

    const SOURCE: &str = "server_api { address = \"unix:///run/api.sock\" }\n";

    #[test]
    fn a_whole_file() {
        let text = format!(
            r#"{SOURCE} domains = ["b.test", "a.test", "a.test"] insecure_addr = ":8080" log_level = "DEBUG"
               jwt_issuer = "https://issuer.test/x/" server_path_prefix = "/oidc/" set_key_use = true
               health_checks {{ bind_port = "9000" }} domain = ["typo"]"#
        );
        let Loaded { settings: (settings, source), notices } = load(&text).unwrap();
        assert_eq!(settings.domains, ["a.test", "b.test"]);
        assert_eq!(settings.listener, OidcListener::Insecure(HostPort::new("::", 8080)));
        assert_eq!((settings.path_prefix.as_str(), settings.issuer_path.as_str()), ("/oidc", "/oidc/"));
        let issuer = settings.jwt_issuer.unwrap();
        assert_eq!((issuer.to_string(), issuer.join("keys").to_string()).1, "https://issuer.test/x/keys");
        assert_eq!(settings.health.unwrap().listen.port, 9000);
        assert_eq!(source.kind, OidcSourceKind::ServerApi { socket_path: "/run/api.sock".into() });
        assert_eq!(source.poll_interval, POLL_INTERVAL);
        assert!(notices.iter().any(|notice| notice.message.contains("did you mean \"domains\"")), "{notices:?}");
    }

    #[test]
    fn refuses_with_spires_texts() {
        let cases = [
            ("", "at least one domain must be configured"),
            (
                "domains = [\"a\"] insecure_addr = \":1\"",
                "exactly one of the server_api, workload_api, or file sections",
            ),
            ("domains = [\"a\"] insecure_addr = \":1\" file {} workload_api {}", "sections are mutually exclusive"),
            ("domains = [\"a\"] file { path = \"x\" }", "either acme, serving_cert_file, insecure_addr or listen_"),
            ("domains = [\"a\"] acme {}", "tos_accepted must be set to true in the acme configuration section"),
            ("domains = [\"a\"] acme { tos_accepted = true }", "email must be configured in the acme configuration"),
            (
                "domains = [\"a\"] acme { tos_accepted = true email = \"e\" directory_url = \"http://ca.test\" }",
                "acme.directory_url must use the HTTPS protocol; URL found: \"http://ca.test\"",
            ),
            (
                "domains = [\"a\"] acme { tos_accepted = true email = \"e\" } serving_cert_file { cert_file_path = \
                 \"c\" key_file_path = \"k\" }",
                "acme and serving_cert_file are mutually exclusive",
            ),
            ("domains = [\"a\"] acme {} insecure_addr = \":1\"", "insecure_addr and the acme section are mutually"),
            ("domains = [\"a\"] serving_cert_file {}", "cert_file_path must be configured in the serving_cert_file"),
            ("domains = [\"a\"] insecure_addr = \"x\" file {}", "invalid insecure_addr \"x\": \"x\" has no port"),
            ("domains = [\"a\"] insecure_addr = \":1\" file {}", "path must be configured in the file configuration"),
            ("domains = [\"ä\"] insecure_addr = \":1\" file { path = \"x\" }", "must already be punycode encoded"),
            (
                "domains = [\"a b\"] insecure_addr = \":1\" file { path = \"x\" }",
                "domain \"a b\" is not a valid domain",
            ),
            (
                "domains = [\"a\"] insecure_addr = \":1\" server_api { address = \"tcp:1\" }",
                "address must use the unix name system in the server_api configuration section",
            ),
            (
                "domains = [\"a\"] insecure_addr = \":1\" file { path = \"x\" poll_interval = \"1\" }",
                "invalid poll_interval in the file configuration section: time: missing unit in duration \"1\"",
            ),
            (
                "domains = [\"a\"] insecure_addr = \":1\" file { path = \"x\" } jwt_issuer = \"issuer\"",
                "the jwt_issuer url must contain a scheme",
            ),
            (
                "domains = [\"a\"] insecure_addr = \":1\" file { path = \"x\" } jwt_issuer = \"https:///x\"",
                "the jwt_issuer url must contain a host",
            ),
        ];
        for (text, expected) in cases {
            let error = load(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
