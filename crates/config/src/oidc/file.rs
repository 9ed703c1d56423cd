//! An `oidc-discovery-provider.conf` as it stands in the file.

use crate::common::LogFile;
use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{DecodeError, Tree};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OidcFile {
    pub domains: Vec<String>,
    pub set_key_use: bool,
    pub allow_insecure_scheme: bool,
    pub insecure_addr: String,
    pub listen_socket_path: String,
    pub acme: Option<OidcAcmeFile>,
    pub serving_cert_file: Option<OidcTlsFile>,
    pub server_api: Option<OidcSourceFile>,
    pub workload_api: Option<OidcSourceFile>,
    pub file: Option<OidcSourceFile>,
    pub health_checks: Option<OidcHealthFile>,
    pub jwt_issuer: String,
    pub jwks_uri: String,
    pub server_path_prefix: String,
    pub log_requests: bool,
    pub log: LogFile,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OidcAcmeFile {
    /// Ours: SPIRE's provider listens at `:443`.
    pub addr: String,
    pub cache_dir: Option<String>,
    pub directory_url: String,
    pub email: String,
    pub tos_accepted: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OidcTlsFile {
    pub cert_file_path: String,
    pub key_file_path: String,
    pub addr: String,
    pub file_sync_interval: Option<String>,
}

/// Any of the three sources: a place and how often to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OidcSourceFile {
    /// `address`, `socket_path` or `path`.
    pub place: String,
    /// Only for `workload_api`.
    pub trust_domain: String,
    pub poll_interval: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OidcHealthFile {
    pub bind_port: i64,
    pub live_path: String,
    pub ready_path: String,
}

impl OidcFile {
    /// Reads a parsed file; what nobody asked for comes back beside it.
    pub fn read(tree: &Tree) -> Result<(Self, Vec<UnknownKeys>), DecodeError> {
        let mut unknown = Vec::new();
        let read = Self::read_section(Section::new("", tree), "top-level", &mut unknown)?;
        Ok((read, unknown))
    }

    pub(crate) fn read_section(
        mut section: Section<'_>,
        name: &'static str,
        unknown: &mut Vec<UnknownKeys>,
    ) -> Result<Self, DecodeError> {
        let mut read = Self {
            domains: section.texts("domains")?.unwrap_or_default(),
            set_key_use: section.flag("set_key_use")?.unwrap_or_default(),
            allow_insecure_scheme: section.flag("allow_insecure_scheme")?.unwrap_or_default(),
            insecure_addr: section.text("insecure_addr")?.unwrap_or_default(),
            listen_socket_path: section.text("listen_socket_path")?.unwrap_or_default(),
            jwt_issuer: section.text("jwt_issuer")?.unwrap_or_default(),
            jwks_uri: section.text("jwks_uri")?.unwrap_or_default(),
            server_path_prefix: section.text("server_path_prefix")?.unwrap_or_default(),
            log_requests: section.flag("log_requests")?.unwrap_or_default(),
            log: LogFile {
                level: section.text("log_level")?,
                format: section.text("log_format")?,
                file: section.text("log_path")?,
                source_location: false,
            },
            ..Self::default()
        };
        if let Some(mut acme) = section.section("acme")? {
            read.acme = Some(OidcAcmeFile {
                addr: acme.text("addr")?.unwrap_or_default(),
                cache_dir: acme.text("cache_dir")?,
                directory_url: acme.text("directory_url")?.unwrap_or_default(),
                email: acme.text("email")?.unwrap_or_default(),
                tos_accepted: acme.flag("tos_accepted")?.unwrap_or_default(),
            });
            acme.finish("acme", unknown);
        }
        if let Some(mut tls) = section.section("serving_cert_file")? {
            read.serving_cert_file = Some(OidcTlsFile {
                cert_file_path: tls.text("cert_file_path")?.unwrap_or_default(),
                key_file_path: tls.text("key_file_path")?.unwrap_or_default(),
                addr: tls.text("addr")?.unwrap_or_default(),
                file_sync_interval: tls.text("file_sync_interval")?,
            });
            tls.finish("serving_cert_file", unknown);
        }
        read.server_api = OidcSourceFile::read(&mut section, "server_api", "address", unknown)?;
        read.workload_api = OidcSourceFile::read(&mut section, "workload_api", "socket_path", unknown)?;
        read.file = OidcSourceFile::read(&mut section, "file", "path", unknown)?;
        if let Some(mut health) = section.section("health_checks")? {
            read.health_checks = Some(OidcHealthFile {
                bind_port: health.int("bind_port")?.unwrap_or_default(),
                live_path: health.text("live_path")?.unwrap_or_default(),
                ready_path: health.text("ready_path")?.unwrap_or_default(),
            });
            health.finish("health_checks", unknown);
        }
        section.finish(name, unknown);
        Ok(read)
    }
}

impl OidcSourceFile {
    fn read(
        file: &mut Section<'_>,
        name: &'static str,
        place: &'static str,
        unknown: &mut Vec<UnknownKeys>,
    ) -> Result<Option<Self>, DecodeError> {
        let Some(mut section) = file.section(name)? else {
            return Ok(None);
        };
        let mut read = Self {
            place: section.text(place)?.unwrap_or_default(),
            trust_domain: String::new(),
            poll_interval: section.text("poll_interval")?,
        };
        if name == "workload_api" {
            read.trust_domain = section.text("trust_domain")?.unwrap_or_default();
        }
        section.finish(name, unknown);
        Ok(Some(read))
    }
}
