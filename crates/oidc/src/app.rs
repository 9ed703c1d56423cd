//! The life of a provider that is a process of its own.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use steeple_cli::{Flag, StopSignals, Values, one_line_of, raise_open_files, restrict_umask, usage};
use steeple_config::{Loaded, NoticeLevel, OIDC_CONFIG_PATH, OidcSettings, OidcSource, OidcSourceKind, load_oidc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::source::{FileSource, ServerApiSource, WorkloadApiSource};
use crate::{KeySet, health, poll, serve};

/// Runs with the arguments after the program's name, which SPIRE's provider takes too.
pub fn main(program: &str, args: &[String]) -> ExitCode {
    let mut stderr = std::io::stderr();
    if args.iter().any(|arg| matches!(arg.as_str(), "-h" | "-help" | "--help")) {
        let _ = write!(stderr, "{}", usage(program, FLAGS));
        return ExitCode::SUCCESS;
    }
    match Values::parse(FLAGS, args) {
        Ok(values) if !values.rest().is_empty() => {
            let rest = values.rest().join(" ");
            let _ = write!(stderr, "Error: unexpected arguments: [{rest}]\n{}", usage(program, FLAGS));
            ExitCode::FAILURE
        }
        Ok(values) => start(&values),
        Err(error) => {
            let _ = write!(stderr, "{error}\n{}", usage(program, FLAGS));
            ExitCode::from(2)
        }
    }
}

/// Runs with the values of [`FLAGS`] until a signal.
pub fn start(values: &Values) -> ExitCode {
    if values.bool("version") {
        println!("{}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    match run(Path::new(values.text("config")), values.bool("expandEnv")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", one_line_of(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Path, expand_env: bool) -> anyhow::Result<()> {
    let Loaded { settings: (settings, source), notices } = load_oidc(config, expand_env)?;
    restrict_umask(NOT_FOR_OTHERS);
    raise_open_files();
    let logging = steeple_telemetry::log::start(&settings.log)?;
    for notice in notices {
        match notice.level {
            NoticeLevel::Info => tracing::info!("{}", notice.message),
            NoticeLevel::Warn => tracing::warn!("{}", notice.message),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::spawn(logging.answer_signals()?);
        live(settings, source).await
    })
}

async fn live(settings: OidcSettings, source: OidcSource) -> anyhow::Result<()> {
    let mut signals = StopSignals::new()?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let keys = Arc::new(KeySet::new());
    if let Some(health) = &settings.health {
        let listener = steeple_telemetry::bind_health(&health.listen).await?;
        let router = health::router(health, Arc::clone(&keys), source.poll_interval);
        tasks.spawn(steeple_telemetry::serve(listener, router, stop.clone().cancelled_owned()));
    }
    serve(&settings, Arc::clone(&keys), None, &tasks, &stop).await?;
    tasks.spawn(watch(source, keys, stop.clone()));
    signals.received().await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}

async fn watch(source: OidcSource, keys: Arc<KeySet>, stop: CancellationToken) {
    let interval = source.poll_interval;
    match source.kind {
        OidcSourceKind::ServerApi { socket_path } => {
            poll(ServerApiSource::new(&socket_path), interval, &keys, stop).await;
        }
        OidcSourceKind::WorkloadApi { socket_path, trust_domain } => {
            poll(WorkloadApiSource::new(&socket_path, trust_domain), interval, &keys, stop).await;
        }
        OidcSourceKind::File { path } => poll(FileSource::new(&path), interval, &keys, stop).await,
    }
}

/// As SPIRE's programs have it; the socket has a mode of its own.
const NOT_FOR_OTHERS: u32 = 0o027;

/// SPIRE's.
pub const FLAGS: [Flag; 3] = [
    Flag::text_or("config", OIDC_CONFIG_PATH, "configuration file"),
    Flag::bool("expandEnv", "expand environment variables in config file"),
    Flag::bool("version", "print version"),
];
