//! What commands that work without a running server have in common: the settings it would have, and its sealing key.

use std::path::{Path, PathBuf};

use steeple_ca::seal::SealingKey;
use steeple_cli::{Failure, Flag, Values};
use steeple_config::{ServerOverrides, ServerSettings};
use steeple_core::Timestamp;

use super::RunFlags;
use crate::raft::NewCluster;
use crate::sealing_key;

pub(super) const SETTINGS_FLAGS: &[Flag] = &[
    Flag::text("config", "Path of the server's configuration file"),
    Flag::bool("expandEnv", "Replace $VARIABLE and ${VARIABLE} in the configuration file"),
    Flag::text("sealingKeyPath", "The sealing key file, where it is not the one that the configuration names"),
];

/// As `run` would read them, with `data_dir` on top.
pub(super) fn settings(values: &Values, data_dir: Option<&str>) -> Result<ServerSettings, Failure> {
    let flags = RunFlags {
        config: values.text_if_any("config").map(PathBuf::from),
        expand_env: values.bool("expandEnv"),
        overrides: ServerOverrides { data_dir: data_dir.map(str::to_owned), ..ServerOverrides::default() },
    };
    Ok(flags.load().map_err(Failure::message)?.settings)
}

/// The key that the flag names, else the one of the configuration.
pub(super) fn sealing_key(values: &Values, settings: &ServerSettings) -> Result<SealingKey, Failure> {
    let path = values.text_if_any("sealingKeyPath").map(Path::new);
    sealing_key::load(path.unwrap_or(&settings.cluster.sealing_key_path), false).map_err(Failure::message)
}

/// The value of a flag that cannot be left out.
pub(super) fn required<'a>(values: &'a Values, name: &str, what: &str) -> Result<&'a str, Failure> {
    values.text_if_any(name).ok_or_else(|| Failure::message(format!("{what} (-{name}) is required")))
}

/// The first member of a cluster that begins anew. It tells its addresses when it starts.
pub(super) fn new_cluster<'a>(
    settings: &ServerSettings,
    sealing_key: &'a SealingKey,
    rotate: bool,
    now: Timestamp,
) -> NewCluster<'a> {
    NewCluster {
        sealing_key,
        name: settings.cluster.name.clone().unwrap_or_default(),
        peer_address: String::new(),
        api_address: String::new(),
        rotate,
        now,
    }
}
