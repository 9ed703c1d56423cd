//! Reading files: the only I/O of this crate beside plugins' data files and the agent's join token file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use steeple_core::unreadable;

use crate::common::{absolute, given};
use crate::expand::expand_env;
use crate::notice::Notice;
use crate::redact::redacted;
use crate::syntax::FILE_BYTES_MAX;
use crate::{
    AgentFile, AgentOverrides, AgentSettings, ConfigError, DecodeError, OidcFile, OidcSettings, OidcSource, PolicyFile,
    PolicySettings, ServerFile, ServerOverrides, ServerSettings, SpiffeHelperFile, SpiffeHelperSettings, Supported,
    Tree, UnknownConfiguration, parse, print,
};

/// Where `spire-server run` looks without `-config`.
pub const SERVER_CONFIG_PATH: &str = "conf/server/server.conf";
/// Where `spire-agent run` looks without `-config`.
pub const AGENT_CONFIG_PATH: &str = "conf/agent/agent.conf";

/// Where `oidc-discovery-provider` looks without `-config`.
pub const OIDC_CONFIG_PATH: &str = "oidc-discovery-provider.conf";

/// Where `spiffe-helper` looks without `-config`.
pub const SPIFFE_HELPER_CONFIG_PATH: &str = "helper.conf";

/// Settings and what the operator should know about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<T> {
    pub settings: T,
    pub notices: Vec<Notice>,
}

/// Loads the server's settings from `path` (`-config`), else from [`SERVER_CONFIG_PATH`] if that exists, else the
/// embedded default: see [`ServerSettings::embedded_default`].
pub fn load_server(
    path: Option<&Path>,
    expand: bool,
    overrides: &ServerOverrides,
    supported: &Supported<'_>,
) -> Result<Loaded<ServerSettings>, ConfigError> {
    let working_dir = working_dir();
    let Some((path, tree)) = read_tree(path, SERVER_CONFIG_PATH, expand, &working_dir)? else {
        return ServerSettings::embedded_default(overrides, supported, &working_dir);
    };
    let read = ServerFile::read(&tree);
    let (file, unknown) = read.map_err(|error| ConfigError::Decode { path: path.clone(), error })?;
    let mut loaded = ServerSettings::resolve(&file, unknown, overrides, supported, &working_dir)?;
    supported.check_keys(&tree)?;
    loaded.settings.config_path = Some(absolute(&path, &working_dir));
    if let Some(policy_file) = given(&file.policy_file) {
        loaded.settings.policy = Some(load_policy(Path::new(policy_file), expand, &working_dir)?);
    }
    Ok(loaded)
}

/// Reads the rights of callers, which stand in a file of their own.
fn load_policy(path: &Path, expand: bool, working_dir: &Path) -> Result<PolicySettings, ConfigError> {
    let path = absolute(path, working_dir);
    let unreadable = |reason: &str| ConfigError::Unreadable { path: path.clone(), reason: reason.to_owned() };
    let (path, tree) = match read_tree(Some(&path), "", expand, working_dir) {
        Ok(Some(read)) => read,
        // Here `-config` is not the flag that helps.
        Ok(None) | Err(ConfigError::NotFound { .. }) => {
            return Err(unreadable("no such file; correct authorization.policy_file"));
        }
        Err(error) => return Err(error),
    };
    let undecodable = |error| ConfigError::Decode { path: path.clone(), error };
    let (file, mut unknown) = PolicyFile::read(&tree).map_err(undecodable)?;
    if !unknown.is_empty() {
        // Sections of the other file have no names like these, but its lines have the same numbers.
        unknown.iter_mut().for_each(|keys| keys.section = format!("{}: {}", path.display(), keys.section));
        return Err(UnknownConfiguration(unknown).into());
    }
    Ok(PolicySettings { roles: file.resolve().map_err(undecodable)?, path })
}

/// Loads the agent's settings from `path` (`-config`), else from [`AGENT_CONFIG_PATH`] if that exists, else from the
/// flags alone: see [`AgentSettings::embedded_default`].
pub fn load_agent(
    path: Option<&Path>,
    expand: bool,
    overrides: &AgentOverrides,
    supported: &Supported<'_>,
) -> Result<Loaded<AgentSettings>, ConfigError> {
    let working_dir = working_dir();
    let Some((path, tree)) = read_tree(path, AGENT_CONFIG_PATH, expand, &working_dir)? else {
        return AgentSettings::embedded_default(overrides, supported, &working_dir);
    };
    let read = AgentFile::read(&tree);
    let (file, unknown) = read.map_err(|error| ConfigError::Decode { path: path.clone(), error })?;
    let mut loaded = AgentSettings::resolve(&file, unknown, overrides, supported, &working_dir)?;
    supported.check_keys(&tree)?;
    loaded.settings.config_path = Some(absolute(&path, &working_dir));
    Ok(loaded)
}

/// Loads the settings of an OIDC discovery provider and where it takes its keys from.
pub fn load_oidc(path: &Path, expand: bool) -> Result<Loaded<(OidcSettings, OidcSource)>, ConfigError> {
    let working_dir = working_dir();
    let Some((path, tree)) = read_tree(Some(path), OIDC_CONFIG_PATH, expand, &working_dir)? else {
        return Err(ConfigError::NotFound { path: absolute(path, &working_dir) });
    };
    let (file, unknown) = OidcFile::read(&tree).map_err(|error| ConfigError::Decode { path, error })?;
    OidcSettings::resolve(&file, &unknown, &working_dir)
}

/// Loads what a spiffe-helper does. `daemon_mode` is the flag; `endpoint` is what `SPIFFE_ENDPOINT_SOCKET` says.
pub fn load_spiffe_helper(
    path: &Path,
    daemon_mode: Option<bool>,
    endpoint: Option<&str>,
) -> Result<Loaded<SpiffeHelperSettings>, ConfigError> {
    let working_dir = working_dir();
    let Some((path, tree)) = read_tree(Some(path), SPIFFE_HELPER_CONFIG_PATH, false, &working_dir)? else {
        return Err(ConfigError::NotFound { path: absolute(path, &working_dir) });
    };
    let (file, unknown) = SpiffeHelperFile::read(&tree).map_err(|error| ConfigError::Decode { path, error })?;
    SpiffeHelperSettings::resolve(&file, unknown, daemon_mode, endpoint, &working_dir)
}

/// The file as it may be shown to others: HCL, without comments and without what could be a secret. Variables are not
/// replaced, because their values may be secrets.
pub fn redacted_config(path: &Path) -> Result<String, ConfigError> {
    let working_dir = working_dir();
    let read = read_tree(Some(path), SERVER_CONFIG_PATH, false, &working_dir)?;
    let (_, tree) = read.ok_or_else(|| ConfigError::NotFound { path: absolute(path, &working_dir) })?;
    Ok(print(&redacted(&tree)))
}

/// `None` when no path was given and there is no file at the default one.
fn read_tree(
    path: Option<&Path>,
    default: &str,
    expand: bool,
    working_dir: &Path,
) -> Result<Option<(PathBuf, Tree)>, ConfigError> {
    let asked_for = path.filter(|path| !path.as_os_str().is_empty());
    let path = asked_for.unwrap_or(Path::new(default)).to_owned();
    let bytes = match read_bounded(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return match asked_for {
                Some(_) => Err(ConfigError::NotFound { path: absolute(&path, working_dir) }),
                None => Ok(None),
            };
        }
        Err(error) => {
            let reason = unreadable(&path, &error);
            return Err(ConfigError::Unreadable { path, reason });
        }
    };
    let parsed = match std::str::from_utf8(&bytes) {
        Ok(text) if expand => parse(expand_env(text, |name| std::env::var(name).ok()).as_bytes()),
        _ => parse(&bytes),
    };
    match parsed {
        Ok(tree) => Ok(Some((path, tree))),
        Err(error) => Err(ConfigError::Decode { path, error: DecodeError::Syntax(error) }),
    }
}

/// Reads one byte more than `parse` takes, so that it refuses what is larger.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Empty when it cannot be found out, which keeps relative paths relative.
fn working_dir() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}
