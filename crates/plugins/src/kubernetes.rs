//! A client of one Kubernetes API server, with a bound on every answer. What is asked of it stands with the plugin that
//! asks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::Response;
use http_body_util::Limited;
use kube::client::{ClientBuilder, DynBody};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use parking_lot::Mutex;
use steeple_transport::with_causes;
use tower::util::MapResponseLayer;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The kubeconfig file, or what a pod has in its place.
    #[error("unable to create client config: {0}")]
    Config(String),
    /// A refusal of the API server's, or what happened instead of an answer.
    #[error("{0}")]
    Answer(String),
}

/// Found through a kubeconfig file or, without one, as pods find theirs.
pub(crate) struct ApiServer {
    kube_config_file: Option<PathBuf>,
    client: Mutex<Option<(Instant, Client)>>,
}

impl ApiServer {
    pub(crate) fn new(kube_config_file: Option<PathBuf>) -> Self {
        Self { kube_config_file, client: Mutex::new(None) }
    }

    pub(crate) async fn ask<T>(&self, question: impl AsyncFnOnce(Client) -> kube::Result<T>) -> Result<T, AskError> {
        let client = self.client().await?;
        let why = match tokio::time::timeout(ANSWER_MAX, question(client)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(kube::Error::Api(status))) if !status.message.is_empty() => status.message,
            Ok(Err(error)) => with_causes(&error),
            Err(_) => format!("no answer within {} s", ANSWER_MAX.as_secs()),
        };
        // Perhaps the credentials or the address have changed.
        *self.client.lock() = None;
        Err(AskError::Answer(shortened(&why)))
    }

    /// Files are read again after a while, because people replace kubeconfig files; until then connections are reused.
    async fn client(&self) -> Result<Client, AskError> {
        let known = self.client.lock().clone();
        if let Some((_, client)) = known.filter(|(made, _)| made.elapsed() < CLIENT_AGE_MAX) {
            return Ok(client);
        }
        let client = connect(self.kube_config_file.as_deref()).await.map_err(AskError::Config)?;
        *self.client.lock() = Some((Instant::now(), client.clone()));
        Ok(client)
    }
}

async fn connect(kube_config_file: Option<&Path>) -> Result<Client, String> {
    let config = match kube_config_file {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| with_causes(&error))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| with_causes(&error))?
        }
        None => Config::incluster().map_err(|error| with_causes(&error))?,
    };
    let builder = ClientBuilder::try_from(config).map_err(|error| with_causes(&error))?;
    let limit = |response: Response<Box<DynBody>>| response.map(|body| Limited::new(body, ANSWER_BYTES_MAX));
    Ok(builder.with_layer(&MapResponseLayer::new(limit)).build())
}

/// What goes into statuses that others see and into the log.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(ERROR_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// API servers answer within a second; a conversation with an agent lasts a minute at most, and has three questions.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// An API server takes and gives objects of 3 MiB at most.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const CLIENT_AGE_MAX: Duration = Duration::from_secs(60);
const ERROR_CHARS_MAX: usize = 512;
