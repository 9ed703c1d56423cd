//! A plugin that runs: connected, initialized, configured, and called under bounds.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use steeple_api::external::config::config_client::ConfigClient;
use steeple_api::external::config::{ConfigureRequest, CoreConfiguration, ValidateRequest};
use steeple_api::external::go_plugin::Empty;
use steeple_api::external::go_plugin::grpc_controller_client::GrpcControllerClient;
use steeple_api::external::go_plugin::grpc_stdio_client::GrpcStdioClient;
use steeple_api::external::init::init_client::InitClient;
use steeple_api::external::init::{DeinitRequest, InitRequest};
use steeple_core::plugin::{BoxFuture, Configurable, ExternalProgram};
use steeple_core::{TrustDomain, rpc_code_name};
use steeple_transport::client::uds_channel;
use steeple_transport::serve::{ServeLimits, serve};
use steeple_transport::uds::{BindModes, PeerTracking, UdsAcceptor, UdsLimits, UdsListener};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};
use tower::service_fn;

use super::bounds::{Bounds, HANDSHAKE_LINE_BYTES_MAX, SERVICE_NAME_CHARS_MAX, SERVICES_MAX};
use super::broker;
use super::handshake::Address;
use super::host_services::HostServices;
use super::launch_error::{HandshakeError, LaunchError};
use super::output::{log_lines, next_line};
use super::process::{Process, Started, Surroundings, shown};
use super::program_file::ProgramFile;

/// Ends with its process when this is dropped; [`Plugin::unload`] is the orderly way.
pub struct Plugin {
    program: ExternalProgram,
    trust_domain: TrustDomain,
    bounds: Bounds,
    process: Process,
    channel: Channel,
    has_settings: bool,
    /// Our socket is served until it goes.
    _served: oneshot::Sender<()>,
    _sockets: TempDir,
}

impl Plugin {
    /// Starts the program, without the variables that are `withheld`, and asks for `interface`, a gRPC service by its
    /// full name.
    pub(super) async fn launch(
        program: &ExternalProgram,
        interface: &'static str,
        trust_domain: &TrustDomain,
        services: &HostServices,
        bounds: Bounds,
        withheld: &[String],
    ) -> Result<Self, LaunchError> {
        let (path, sha256) = (program.path.clone(), program.sha256);
        let file = tokio::task::spawn_blocking(move || ProgramFile::open(&path, sha256.as_ref())).await;
        let file = file.map_err(|error| LaunchError::Start {
            path: program.path.display().to_string(),
            why: error.to_string(),
        })??;
        if program.sha256.is_none() {
            warn(program, "Plugin checksum not configured");
        }
        let subsystem = format!("{}.{}", program.name, file.file_name());
        let directory = |error: std::io::Error| LaunchError::Directory(error.to_string());
        let sockets = private_directory().map_err(directory)?;
        let around = Surroundings { sockets: sockets.path(), withheld };
        let Started { process, stdout, stderr } = Process::start(program, file, around).await?;
        let stderr = BufReader::new(tokio::process::ChildStderr::from_std(stderr).map_err(directory)?);
        tokio::spawn(log_lines(stderr, program.name.clone(), program.kind.clone(), subsystem.clone()));
        let stdout = tokio::process::ChildStdout::from_std(stdout).map_err(directory)?;
        let address = address(stdout, &process, bounds.start).await?;
        if matches!(address, Address::Tcp(_)) {
            warn(program, "Plugin serves on TCP, where every user of this machine can call it");
        }
        let channel = dial(&address);
        tell_output(channel.clone(), program, subsystem);

        let socket = sockets.path().join("host.sock");
        let served = serve_host(services, &socket).map_err(|error| LaunchError::HostSocket(error.to_string()))?;
        tokio::spawn(broker::offer(channel.clone(), socket.display().to_string()));
        let mut plugin = Self {
            program: program.clone(),
            trust_domain: trust_domain.clone(),
            bounds,
            process,
            channel,
            has_settings: false,
            _served: served,
            _sockets: sockets,
        };
        plugin.initialize(interface, services).await?;
        Ok(plugin)
    }

    async fn initialize(&mut self, interface: &'static str, services: &HostServices) -> Result<(), LaunchError> {
        let request = InitRequest { host_service_names: services.names() };
        let mut client = InitClient::new(self.channel.clone());
        let answer = self.within(self.bounds.setup, "Init", client.init(request)).await;
        let found = answer.map_err(|status| LaunchError::Init(go_text(&status)))?.plugin_service_names;
        let shortened = |name: String| name.chars().take(SERVICE_NAME_CHARS_MAX).collect::<String>();
        let found: Vec<String> = found.into_iter().take(SERVICES_MAX).map(shortened).collect();
        if !found.iter().any(|name| name == interface) {
            return Err(LaunchError::WrongInterface { found, wanted: interface });
        }
        self.has_settings = found.iter().any(|name| name == CONFIG);
        for name in found.iter().filter(|name| *name != interface && *name != CONFIG) {
            let ExternalProgram { kind, name: plugin, .. } = &self.program;
            tracing::warn!(
                subsystem_name = SUBSYSTEM,
                external = true,
                plugin_name = plugin,
                plugin_type = kind,
                plugin_service = name,
                "Unsupported plugin service found"
            );
        }
        Ok(())
    }

    pub fn program(&self) -> &ExternalProgram {
        &self.program
    }

    pub(super) fn call_time_max(&self) -> Duration {
        self.bounds.call
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// They are the plugin's to understand.
    async fn set(&self, settings: Option<String>) -> Result<(), Status> {
        if !self.has_settings {
            return self.without_settings(settings.as_ref());
        }
        let request =
            ConfigureRequest { core_configuration: Some(self.core()), hcl_configuration: settings.unwrap_or_default() };
        let mut client = ConfigClient::new(self.channel());
        self.within(self.bounds.setup, "Configure", client.configure(request)).await.map(|_| ())
    }

    /// What it has to say against settings; nothing of plugins that cannot tell.
    pub async fn validate(&self, settings: Option<String>) -> Result<Vec<String>, String> {
        if !self.has_settings {
            return Ok(Vec::new());
        }
        let request =
            ValidateRequest { core_configuration: Some(self.core()), hcl_configuration: settings.unwrap_or_default() };
        let mut client = ConfigClient::new(self.channel());
        match self.within(self.bounds.setup, "Validate", client.validate(request)).await {
            Ok(answer) => Ok(answer.notes),
            Err(status) if status.code() == Code::Unimplemented => Ok(Vec::new()),
            Err(status) => Err(go_text(&status)),
        }
    }

    /// Tells it that it ends, asks it to, and sees to it.
    pub async fn unload(&self) {
        let ExternalProgram { kind, name, .. } = &self.program;
        let span = tracing::error_span!(
            "plugin",
            subsystem_name = SUBSYSTEM,
            external = true,
            plugin_name = name,
            plugin_type = kind
        );
        if self.process.status().is_none() {
            let mut client = InitClient::new(self.channel());
            match timeout(self.bounds.deinit, client.deinit(DeinitRequest {})).await {
                Ok(Ok(_)) => span.in_scope(|| tracing::debug!("Plugin deinitialized")),
                Ok(Err(status)) if status.code() == Code::Unimplemented => {}
                Ok(Err(status)) => {
                    span.in_scope(|| tracing::error!(error = go_text(&status), "Failed to deinitialize plugin"));
                }
                Err(_) => span.in_scope(|| tracing::error!("Failed to deinitialize plugin: it took too long")),
            }
            // It goes away in the middle of its answer.
            let mut client = GrpcControllerClient::new(self.channel());
            let asked = async {
                let _ = client.shutdown(Empty {}).await;
                self.process.end().await
            };
            if timeout(self.bounds.exit, asked).await.is_err() {
                span.in_scope(|| tracing::warn!("plugin failed to exit gracefully"));
                self.process.kill();
                self.process.end().await;
            }
        }
        span.in_scope(|| tracing::info!("Plugin unloaded"));
    }

    /// Waits for its end without keeping it.
    pub(super) fn end(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        self.process.end()
    }

    /// A call with its bound; what fails because the plugin has ended says so.
    pub(super) async fn call<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Status> {
        self.within(self.bounds.call, what, call).await
    }

    /// As [`Self::call`], for one message of a stream.
    pub(super) async fn message<T>(
        &self,
        what: &'static str,
        message: impl Future<Output = Result<Option<T>, Status>>,
    ) -> Result<Option<T>, Status> {
        self.within(self.bounds.call, what, async { message.await.map(Response::new) }).await
    }

    async fn within<T>(
        &self,
        bound: Duration,
        what: &str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Status> {
        if let Some(status) = self.process.status() {
            return Err(self.has_ended(&shown(status)));
        }
        match timeout(bound, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.explained(status).await),
            Err(_) => Err(self.prefixed(
                Code::DeadlineExceeded,
                &format!("the plugin did not answer {what} within {} s", bound.as_secs_f32()),
            )),
        }
    }

    /// A connection breaks a moment before the end is known.
    async fn explained(&self, status: Status) -> Status {
        let broken = matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
            && std::error::Error::source(&status).is_some();
        if (broken || status.code() == Code::Unavailable)
            && let Ok(ended) = timeout(END_NOTICED, self.process.end()).await
        {
            return self.has_ended(&shown(ended));
        }
        self.prefixed(status.code(), status.message())
    }

    fn has_ended(&self, status: &str) -> Status {
        let message = format!("the plugin has ended ({status}) and is not started again: restart this process");
        self.prefixed(Code::Unavailable, &message)
    }

    pub(super) fn prefixed(&self, code: Code, message: &str) -> Status {
        Status::new(code, self.program.prefixed(message))
    }

    pub(super) fn internal(&self, message: &str) -> Status {
        self.prefixed(Code::Internal, message)
    }

    fn core(&self) -> CoreConfiguration {
        CoreConfiguration { trust_domain: self.trust_domain.name().to_owned() }
    }

    fn without_settings(&self, settings: Option<&String>) -> Result<(), Status> {
        match settings {
            None => Ok(()),
            Some(_) => Err(Status::unimplemented("no supported configuration interface found")),
        }
    }
}

impl Configurable for Plugin {
    fn configure(self: Arc<Self>, settings: Option<String>) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async move { self.set(settings).await.map_err(|status| go_text(&status)) })
    }
}

/// As Go prints a status.
pub(super) fn go_text(status: &Status) -> String {
    format!("rpc error: code = {} desc = {}", rpc_code_name(status.code() as i32), status.message())
}

fn warn(program: &ExternalProgram, message: &str) {
    let ExternalProgram { kind, name, .. } = program;
    tracing::warn!(subsystem_name = SUBSYSTEM, external = true, plugin_name = name, plugin_type = kind, "{message}");
}

/// For what a plugin printed before it ended.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// Reads the first line, then on to nowhere: a plugin that prints more is not held up.
async fn address(
    stdout: tokio::process::ChildStdout,
    process: &Process,
    bound: Duration,
) -> Result<Address, LaunchError> {
    let mut stdout = BufReader::new(stdout);
    let line = async {
        let mut line = std::pin::pin!(next_line(&mut stdout, HANDSHAKE_LINE_BYTES_MAX));
        tokio::select! {
            biased;
            line = &mut line => return line.ok().flatten(),
            _ = process.end() => {}
        }
        // What it printed may still lie in the pipe, which a child of its own may hold open.
        timeout(LAST_WORDS_MAX, line).await.ok()?.ok().flatten()
    };
    let Ok(line) = timeout(bound, line).await else { return Err(LaunchError::NoHandshake(bound)) };
    let Some(line) = line else {
        // Standard output may be closed before the end.
        let status = match timeout(bound, process.end()).await {
            Ok(status) => shown(status),
            Err(_) => "it closed its standard output".to_owned(),
        };
        return Err(LaunchError::Exited { status });
    };
    if line.is_cut {
        return Err(HandshakeError::TooLong.into());
    }
    let address = Address::parse(&line.text)?;
    tokio::spawn(async move {
        let mut nowhere = vec![0; HANDSHAKE_LINE_BYTES_MAX];
        while stdout.read(&mut nowhere).await.is_ok_and(|read| read > 0) {}
    });
    Ok(address)
}

fn dial(address: &Address) -> Channel {
    match address {
        Address::Unix(path) => uds_channel(path),
        Address::Tcp(address) => tcp_channel(*address),
    }
}

fn tcp_channel(address: SocketAddr) -> Channel {
    let connector = service_fn(move |_: http::Uri| async move { TcpStream::connect(address).await.map(TokioIo::new) });
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector)
}

/// What it prints once it serves comes over its socket, and blocks the plugin if nobody takes it.
fn tell_output(channel: Channel, program: &ExternalProgram, subsystem: String) {
    let (name, kind) = (program.name.clone(), program.kind.clone());
    tokio::spawn(async move {
        let Ok(printed) = GrpcStdioClient::new(channel).stream_stdio(()).await else { return };
        let mut printed = printed.into_inner();
        let (mut writer, reader) = tokio::io::duplex(PRINTED_BYTES_MAX);
        let told = log_lines(BufReader::new(reader), name, kind, subsystem);
        let copied = async move {
            while let Ok(Some(chunk)) = printed.message().await {
                if tokio::io::AsyncWriteExt::write_all(&mut writer, &chunk.data).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(told, copied);
    });
}

/// Nobody else may even look for the socket.
fn private_directory() -> std::io::Result<TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new().prefix("steeple-plugin-").permissions(std::fs::Permissions::from_mode(0o700)).tempdir()
}

/// Until the sender is dropped.
fn serve_host(
    services: &HostServices,
    socket: &Path,
) -> Result<oneshot::Sender<()>, steeple_transport::uds::BindError> {
    let listener = UdsListener::bind(socket, BindModes { dir: 0o700, socket: 0o600 })?;
    let acceptor = UdsAcceptor { tracking: PeerTracking::CredentialsOnly, limits: HOST_LIMITS };
    let (ready, incoming) = mpsc::channel(1);
    tokio::spawn(acceptor.run(listener, ready));
    let (stop, stopped) = oneshot::channel();
    let stopped = async move {
        // Dropped, which is all that happens to it.
        let _ = stopped.await;
    };
    tokio::spawn(serve(services.routes(), incoming, ServeLimits::UDS, stopped));
    Ok(stop)
}

const CONFIG: &str = "spire.service.common.config.v1.Config";
/// SPIRE's name for what loads plugins.
pub(super) const SUBSYSTEM: &str = "catalog";
/// A plugin opens one.
const HOST_LIMITS: UdsLimits = UdsLimits { connections_max: 16, connections_per_uid_max: 16 };
const END_NOTICED: Duration = Duration::from_millis(500);
const PRINTED_BYTES_MAX: usize = 64 * 1024;
