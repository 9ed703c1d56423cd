//! How an agent without a cached bundle comes to trust its server (spire-agent documentation, "trust bootstrap").

use std::path::PathBuf;

use steeple_core::GoUrl;

use super::TrustBundleFile;
use crate::ConfigError;
use crate::common::{check_endpoint, given};
use crate::quote::go_quoted;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustBootstrap {
    File {
        path: PathBuf,
        format: BundleFormat,
    },
    /// `unix_socket`: plain HTTP over it, with SPIRE's query parameters.
    Url {
        url: String,
        unix_socket: Option<PathBuf>,
        format: BundleFormat,
    },
    /// The X.509 bundle of another Workload API, `unix:…` or `tcp:…`.
    WorkloadApi {
        address: String,
    },
    /// Only the server's SPIFFE ID is checked at first contact.
    Insecure,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BundleFormat {
    #[default]
    Pem,
    Spiffe,
}

/// What to do when the server's chain no longer leads to a known root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RebootstrapMode {
    #[default]
    Never,
    Auto,
    Always,
}

impl RebootstrapMode {
    pub(super) fn read(text: &str) -> Result<Self, ConfigError> {
        match text {
            "" | "never" => Ok(Self::Never),
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            other => {
                Err(ConfigError::invalid("rebootstrap_mode", format!("unknown rebootstrap mode specified: {other}")))
            }
        }
    }
}

impl TrustBundleFile {
    /// `flags` win, key by key.
    pub(super) fn under(&self, flags: &Self) -> Self {
        let either = |flag: &Option<String>, file: &Option<String>| given(flag).or(given(file)).map(str::to_owned);
        Self {
            path: either(&flags.path, &self.path),
            url: either(&flags.url, &self.url),
            unix_socket: either(&flags.unix_socket, &self.unix_socket),
            spiffe_workload_api: either(&flags.spiffe_workload_api, &self.spiffe_workload_api),
            format: either(&flags.format, &self.format),
            insecure_bootstrap: flags.insecure_bootstrap || self.insecure_bootstrap,
        }
    }

    /// SPIRE's checks in SPIRE's order.
    pub(super) fn resolve(&self) -> Result<TrustBootstrap, ConfigError> {
        let (path, url) = (given(&self.path), given(&self.url));
        let (unix_socket, workload_api) = (given(&self.unix_socket), given(&self.spiffe_workload_api));
        if let Some(address) = workload_api {
            self.check_workload_api(address)?;
        }
        match (self.insecure_bootstrap, url, path) {
            (true, Some(_), Some(_)) => {
                return Err(invalid(
                    "only one of insecure_bootstrap, trust_bundle_url, or trust_bundle_path can be specified, not the \
                     three options",
                ));
            }
            (true, Some(_), None) => return Err(only_one("insecure_bootstrap", "trust_bundle_url")),
            (true, None, Some(_)) => return Err(only_one("insecure_bootstrap", "trust_bundle_path")),
            (false, None, None) if workload_api.is_none() => {
                return Err(ConfigError::NoBootstrap);
            }
            (false, Some(_), Some(_)) => return Err(only_one("trust_bundle_url", "trust_bundle_path")),
            _ => {}
        }
        let format = match given(&self.format) {
            None | Some("pem") => BundleFormat::Pem,
            Some("spiffe") => BundleFormat::Spiffe,
            Some(_) => return Err(invalid("invalid value for trust_bundle_format, expected \"pem\" or \"spiffe\"")),
        };
        if unix_socket.is_some() && url.is_none() {
            return Err(invalid("if trust_bundle_unix_socket is specified, so must be trust_bundle_url"));
        }
        if let Some(url) = url {
            check_url(url, unix_socket.is_some())?;
        }
        Ok(match (workload_api, url, path) {
            (Some(address), ..) => TrustBootstrap::WorkloadApi { address: address.to_owned() },
            (_, Some(url), _) => {
                TrustBootstrap::Url { url: url.to_owned(), unix_socket: unix_socket.map(PathBuf::from), format }
            }
            (_, _, Some(path)) => TrustBootstrap::File { path: PathBuf::from(path), format },
            (None, None, None) => TrustBootstrap::Insecure,
        })
    }

    fn check_workload_api(&self, address: &str) -> Result<(), ConfigError> {
        let this = "trust_bundle_spiffe_workload_api";
        if self.insecure_bootstrap {
            return Err(only_one("insecure_bootstrap", this));
        }
        if given(&self.url).is_some() {
            return Err(only_one("trust_bundle_url", this));
        }
        if given(&self.path).is_some() {
            return Err(only_one("trust_bundle_path", this));
        }
        if given(&self.unix_socket).is_some() {
            return Err(invalid("trust_bundle_unix_socket can not be used with trust_bundle_spiffe_workload_api"));
        }
        check_endpoint(address)
            .map_err(|reason| invalid(format!("{this} is not a valid SPIFFE Workload API endpoint address: {reason}")))
    }
}

fn check_url(text: &str, over_unix_socket: bool) -> Result<(), ConfigError> {
    let url = GoUrl::parse(text)
        .map_err(|why| invalid(format!("unable to parse trust bundle URL: parse {}: {why}", go_quoted(text))))?;
    if !over_unix_socket {
        let https = url.scheme.eq_ignore_ascii_case("https");
        return if https { Ok(()) } else { Err(invalid("trust bundle URL must start with https://")) };
    }
    if !url.scheme.eq_ignore_ascii_case("http") {
        return Err(invalid("trust bundle URL must start with http:// when used with trust bundle unix socket"));
    }
    for reserved in ["spiffe-", "spire-"] {
        if url.query.unwrap_or_default().split('&').any(|parameter| parameter.starts_with(reserved)) {
            return Err(invalid(format!("trust_bundle_url query params can not start with {reserved}")));
        }
    }
    Ok(())
}

fn only_one(one: &str, other: &str) -> ConfigError {
    invalid(format!("only one of {one} or {other} can be specified, not both"))
}

fn invalid(message: impl Into<String>) -> ConfigError {
    ConfigError::invalid("trust_bundle", message)
}
