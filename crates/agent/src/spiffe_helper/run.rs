//! The life of a spiffe-helper.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_cli::{Environment, Flag, StopSignals, Values, one_line_of};
use steeple_config::{
    Loaded, LogFormat, LogLevel, LogSettings, SPIFFE_HELPER_CONFIG_PATH, SpiffeHelperSettings, load_spiffe_helper,
};
use steeple_telemetry::log::{Sink, start_on};

use super::dependents::Dependents;
use super::follow::follow;
use super::once::write_once;
use super::write::Writer;
use super::written::Written;
use crate::app::tell;
use crate::workload_client::channel;

pub const FLAGS: &[Flag] = &[
    Flag::text_or("config", SPIFFE_HELPER_CONFIG_PATH, "Path of the configuration file"),
    Flag::bool("daemon-mode", "Keep the files up to date (the default), or =false to write them once and end"),
    Flag::bool("version", "Print the version"),
];

/// Runs until a signal, or until everything is written once. The log is on standard error: standard output is the
/// command's.
pub fn run(values: &Values) -> ExitCode {
    if values.bool("version") {
        println!("{}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let log = LogSettings { level: LogLevel::Info, format: LogFormat::Text, file: None, source_location: false };
    match start_on(Sink::stderr(), &log).context("log").and_then(|_| live(values)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = one_line_of(&*error), "Error starting spiffe-helper");
            ExitCode::FAILURE
        }
    }
}

fn live(values: &Values) -> anyhow::Result<()> {
    let config = values.text("config");
    tracing::info!("Using configuration file: {config:?}");
    let daemon_mode = values.given("daemon-mode").then(|| values.bool("daemon-mode"));
    let endpoint = Environment::of_process();
    let loaded = load_spiffe_helper(Path::new(config), daemon_mode, endpoint.get("SPIFFE_ENDPOINT_SOCKET"));
    let Loaded { settings, notices } = loaded.map_err(|error| anyhow::anyhow!(error.explained()))?;
    tell(&notices);
    let dependents = Dependents::of(&settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = StopSignals::new()?;
        let written = Written::nothing_of(&settings);
        let api = SpiffeWorkloadApiClient::new(channel(&settings.agent_address).map_err(anyhow::Error::msg)?);
        let writer = Writer { settings: &settings, api, written: written.clone() };
        tokio::select! {
            () = signals.received() => Ok(()),
            ended = write(&settings, writer, dependents, &written) => ended,
        }
    })?;
    tracing::info!("Exiting");
    Ok(())
}

async fn write(
    settings: &SpiffeHelperSettings,
    writer: Writer<'_>,
    dependents: Dependents,
    written: &Written,
) -> anyhow::Result<()> {
    if !settings.daemon_mode {
        tracing::info!("Daemon mode disabled");
        return Ok(write_once(writer).await?);
    }
    tracing::info!("Launching daemon");
    if !settings.health.listener_enabled {
        return Ok(follow(writer, dependents).await?);
    }
    let listener = steeple_telemetry::bind(&settings.health.listen, "health_checks.bind_port").await?;
    let serving = steeple_telemetry::serve(listener, written.router(&settings.health), std::future::pending());
    tokio::select! {
        ended = follow(writer, dependents) => Ok(ended?),
        () = serving => Ok(()),
    }
}
