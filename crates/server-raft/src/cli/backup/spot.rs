//! Backups by the path or URL on the command line.

use std::sync::Arc;

use steeple_cli::{Failure, Flag, Values};
use steeple_config::{BackupPlace, S3Settings, ServerSettings};
use steeple_core::{Clock, SystemClock};

use crate::backup::{Place, Spot};
use crate::cli::offline::{SETTINGS_FLAGS, settings};

/// Of commands that need no server's settings but for how buckets are reached.
pub(super) const S3_FLAGS: &[Flag] = &[
    Flag::text("config", "Server's configuration file, for its cluster.backup.s3; the environment tells by default"),
    SETTINGS_FLAGS[1],
];

/// Of the configuration that a flag names.
pub(super) fn s3_settings(values: &Values) -> Result<S3Settings, Failure> {
    match values.text_if_any("config") {
        Some(_) => Ok(s3_settings_of(&settings(values, None)?)),
        None => Ok(S3Settings::default()),
    }
}

pub(in crate::cli) fn s3_settings_of(settings: &ServerSettings) -> S3Settings {
    settings.cluster.backup.as_ref().map(|backup| backup.s3.clone()).unwrap_or_default()
}

/// `work` may block: another thread carries its requests.
pub(in crate::cli) fn with_spot<T>(
    text: &str,
    s3: &S3Settings,
    work: impl FnOnce(&Spot) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = runtime()?;
    let spot = runtime.block_on(Spot::open(text, s3, &clock())).map_err(Failure::message)?;
    work(&spot)
}

/// As [`with_spot`], for a directory or `s3://BUCKET/PREFIX`.
pub(super) fn with_place<T>(
    text: &str,
    s3: &S3Settings,
    work: impl FnOnce(&Place) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = runtime()?;
    let place = BackupPlace::read(text).map_err(|error| Failure::message(format!("{text}: {error}")))?;
    let place = runtime.block_on(Place::open(&place, s3, &clock())).map_err(Failure::message)?;
    work(&place)
}

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// Its thread drives the network while this one waits.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}
