//! What commands that work without a running server have in common: the settings it would have, and its sealing key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use steeple_ca::seal::SealingKey;
use steeple_cli::{Failure, Flag, Values, own_uid};
use steeple_config::{ConfigError, ServerOverrides, ServerSettings};
use steeple_core::{Clock, SystemClock, Timestamp};

use super::RunFlags;
use crate::raft::{NewCluster, Operator};
use crate::seal::Custody;

pub(super) const SETTINGS_FLAGS: &[Flag] = &[
    Flag::text("config", "Path of the server's configuration file"),
    Flag::bool("expandEnv", "Replace $VARIABLE and ${VARIABLE} in the configuration file"),
    Flag::text("sealingKeyPath", "The sealing key file, where it is not the one that the configuration names"),
];

/// As `run` would read them, with `data_dir` on top.
pub(super) fn settings(values: &Values, data_dir: Option<&str>) -> Result<ServerSettings, Failure> {
    settings_in(values.text_if_any("config"), values, data_dir)
}

/// Those of another file.
pub(super) fn settings_in(
    config: Option<&str>,
    values: &Values,
    data_dir: Option<&str>,
) -> Result<ServerSettings, Failure> {
    load(config, values, data_dir).map_err(Failure::message)
}

/// As [`settings_in`], for whoever goes on without them.
pub(super) fn load(
    config: Option<&str>,
    values: &Values,
    data_dir: Option<&str>,
) -> Result<ServerSettings, ConfigError> {
    let flags = RunFlags {
        config: config.map(PathBuf::from),
        expand_env: values.bool("expandEnv"),
        overrides: ServerOverrides { data_dir: data_dir.map(str::to_owned), ..ServerOverrides::default() },
    };
    Ok(flags.load()?.settings)
}

/// The key in the file that the flag names, else in that of the configuration. Asks the seal once.
pub(super) fn sealing_key(values: &Values, settings: &ServerSettings) -> Result<SealingKey, Failure> {
    wait_for(custody(values, settings).open())?.map_err(Failure::message)
}

/// As [`sealing_key`], and the key beside it that is to take its place.
pub(super) fn sealing_keys(values: &Values, settings: &ServerSettings) -> Result<Vec<SealingKey>, Failure> {
    wait_for(custody(values, settings).open_all())?.map_err(Failure::message)
}

pub(super) fn custody(values: &Values, settings: &ServerSettings) -> Custody {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    match values.text_if_any("sealingKeyPath") {
        Some(path) => Custody::at(Path::new(path), &settings.cluster.seal, &clock),
        None => Custody::new(&settings.cluster, &clock),
    }
}

/// A seal may be a service.
pub(super) fn wait_for<T>(answer: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(answer))
}

/// The value of a flag that cannot be left out.
pub(super) fn required<'a>(values: &'a Values, name: &str, what: &str) -> Result<&'a str, Failure> {
    values.text_if_any(name).ok_or_else(|| Failure::message(format!("{what} (-{name}) is required")))
}

/// The first member of a cluster that begins anew from a backup. It tells its addresses when it starts.
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
        by: Operator { command: "restore", uid: own_uid() },
        now,
    }
}
