//! The three questions that are asked of a Kubernetes API server.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::Response;
use http_body_util::Limited;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::PostParams;
use kube::client::{ClientBuilder, DynBody};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use parking_lot::Mutex;
use tower::util::MapResponseLayer;
use zeroize::Zeroize as _;

use super::review::knows_audience;

/// Why there is no answer. The texts are those of SPIRE's client.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("empty {0}")]
    Empty(&'static str),
    #[error("unable to get clientset: unable to create client config: {0}")]
    Config(String),
    #[error("unable to query {api} API: {why}")]
    Query { api: &'static str, why: String },
    #[error("token review API response contains an error: {0}")]
    Review(String),
    #[error(
        "token review API did not validate audience: wanted one of {} but got {}",
        go_list(.wanted), go_list(.got)
    )]
    Audience { wanted: Vec<String>, got: Vec<String> },
}

/// One API server, found through a kubeconfig file or, without one, as pods find theirs.
pub(super) struct ApiServer {
    kube_config_file: Option<PathBuf>,
    client: Mutex<Option<(Instant, Client)>>,
}

impl ApiServer {
    pub(super) fn new(kube_config_file: Option<PathBuf>) -> Self {
        Self { kube_config_file, client: Mutex::new(None) }
    }

    pub(super) async fn review(&self, token: &str, audience: &[String]) -> Result<TokenReviewStatus, ApiError> {
        let mut review = TokenReview {
            spec: TokenReviewSpec { audiences: Some(audience.to_vec()), token: Some(token.to_owned()) },
            ..TokenReview::default()
        };
        let answer = self.ask("token review", async |client| {
            Api::<TokenReview>::all(client).create(&PostParams::default(), &review).await
        });
        let answer = answer.await;
        review.spec.token.zeroize();
        let status = answer?.status.unwrap_or_default();
        if let Some(error) = status.error.as_ref().filter(|error| !error.is_empty()) {
            return Err(ApiError::Review(shortened(error)));
        }
        if status.authenticated == Some(true) && !knows_audience(&status, audience) {
            let got = status.audiences.unwrap_or_default();
            return Err(ApiError::Audience { wanted: audience.to_vec(), got });
        }
        Ok(status)
    }

    pub(super) async fn pod(&self, namespace: &str, name: &str) -> Result<Pod, ApiError> {
        self.ask("pods", async |client| Api::<Pod>::namespaced(client, namespace).get(name).await).await
    }

    pub(super) async fn node(&self, name: &str) -> Result<Node, ApiError> {
        if name.is_empty() {
            return Err(ApiError::Empty("node name"));
        }
        self.ask("nodes", async |client| Api::<Node>::all(client).get(name).await).await
    }

    async fn ask<T>(
        &self,
        api: &'static str,
        question: impl AsyncFnOnce(Client) -> kube::Result<T>,
    ) -> Result<T, ApiError> {
        let client = self.client().await?;
        let why = match tokio::time::timeout(ANSWER_MAX, question(client)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(kube::Error::Api(status))) if !status.message.is_empty() => status.message,
            Ok(Err(error)) => causes(&error),
            Err(_) => format!("no answer within {} s", ANSWER_MAX.as_secs()),
        };
        // Perhaps the credentials or the address have changed.
        *self.client.lock() = None;
        Err(ApiError::Query { api, why: shortened(&why) })
    }

    /// Files are read again after a while, because people replace kubeconfig files; until then connections are reused.
    async fn client(&self) -> Result<Client, ApiError> {
        let known = self.client.lock().clone();
        if let Some((_, client)) = known.filter(|(made, _)| made.elapsed() < CLIENT_AGE_MAX) {
            return Ok(client);
        }
        let client = connect(self.kube_config_file.as_deref()).await.map_err(ApiError::Config)?;
        *self.client.lock() = Some((Instant::now(), client.clone()));
        Ok(client)
    }
}

async fn connect(kube_config_file: Option<&Path>) -> Result<Client, String> {
    let config = match kube_config_file {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| causes(&error))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| causes(&error))?
        }
        None => Config::incluster().map_err(|error| causes(&error))?,
    };
    let builder = ClientBuilder::try_from(config).map_err(|error| causes(&error))?;
    let limit = |response: Response<Box<DynBody>>| response.map(|body| Limited::new(body, ANSWER_BYTES_MAX));
    Ok(builder.with_layer(&MapResponseLayer::new(limit)).build())
}

/// An error with what lies below it, where it does not say so itself.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        below = cause.source();
    }
    text
}

/// What goes into a status that the agent sees and into the log.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(ERROR_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A list of strings as Go's `%q` prints it.
fn go_list(items: &[String]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

/// API servers answer within a second; a conversation with an agent lasts a minute at most, and has three questions.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// An API server takes and gives objects of 3 MiB at most.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const CLIENT_AGE_MAX: Duration = Duration::from_secs(60);
const ERROR_CHARS_MAX: usize = 512;
