//! What an OIDC discovery provider does, complete and checked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use steeple_core::TrustDomain;

use crate::{HostPort, LogSettings, ServingCert};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// Host names under which the discovery document is given out, as the client writes them (ASCII, lower case as a
    /// rule); at least one.
    pub domains: Vec<String>,
    pub listener: OidcListener,
    /// Whether documents may name `http` URLs when the request came without TLS.
    pub allow_insecure_scheme: bool,
    /// Adds `"use": "sig"` to each key, which some clients insist on.
    pub set_key_use: bool,
    /// Replaces the issuer that follows from the request.
    pub jwt_issuer: Option<BaseUrl>,
    /// Replaces the URL of the keys that follows from the request.
    pub jwks_uri: Option<BaseUrl>,
    /// Begins with `/` and has none at its end; empty for no prefix.
    pub path_prefix: String,
    /// The path of the issuer that follows from the request: the prefix as it was given, also with a `/` at its end.
    pub issuer_path: String,
    pub log_requests: bool,
    pub log: LogSettings,
    pub health: Option<OidcHealthSettings>,
}

/// Where requests come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OidcListener {
    /// Plain HTTP over TCP.
    Insecure(HostPort),
    /// Plain HTTP over a Unix socket.
    Socket(PathBuf),
    Tls {
        listen: HostPort,
        cert: ServingCert,
    },
    /// TLS with certificates from an ACME server, whose terms of service are agreed to.
    Acme {
        listen: HostPort,
        acme: OidcAcmeSettings,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcAcmeSettings {
    pub directory_url: String,
    pub email: String,
    /// Absolute; `None`: what was obtained is lost when the process ends. Not for the block of a server, whose log
    /// keeps it.
    pub cache_dir: Option<PathBuf>,
}

impl OidcSettings {
    /// Where certificates come from an ACME server.
    pub fn acme(&self) -> Option<&OidcAcmeSettings> {
        match &self.listener {
            OidcListener::Acme { acme, .. } => Some(acme),
            OidcListener::Insecure(_) | OidcListener::Socket(_) | OidcListener::Tls { .. } => None,
        }
    }
}

/// Where the keys come from, and how often they are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSource {
    pub kind: OidcSourceKind,
    pub poll_interval: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OidcSourceKind {
    /// A spire-server's admin socket.
    ServerApi {
        socket_path: PathBuf,
    },
    WorkloadApi {
        socket_path: PathBuf,
        trust_domain: TrustDomain,
    },
    /// A SPIFFE bundle document.
    File {
        path: PathBuf,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcHealthSettings {
    pub listen: HostPort,
    pub live_path: String,
    pub ready_path: String,
}

/// An absolute URL in the pieces that documents are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    pub scheme: String,
    /// With the port, if one was given.
    pub host: String,
    /// Empty, or begins with `/`.
    pub path: String,
    /// `?query#fragment` as given.
    pub rest: String,
}

impl BaseUrl {
    /// The URL that stands `name` deeper, without query and fragment.
    pub fn join(&self, name: &str) -> Self {
        let path = format!("{}/{name}", self.path.trim_end_matches('/'));
        Self { scheme: self.scheme.clone(), host: self.host.clone(), path, rest: String::new() }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}{}", self.scheme, self.host, self.path, self.rest)
    }
}
