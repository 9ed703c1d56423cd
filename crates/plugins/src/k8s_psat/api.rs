//! The three questions that are asked of a Kubernetes API server.

use std::path::PathBuf;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::PostParams;
use kube::{Api, Client};
use zeroize::Zeroize as _;

use super::review::knows_audience;
use crate::kubernetes::{ApiServer, AskError, shortened};

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

/// The API server of the cluster that agents say they are in.
pub(super) struct ClusterApi(ApiServer);

impl ClusterApi {
    pub(super) fn new(kube_config_file: Option<PathBuf>) -> Self {
        Self(ApiServer::new(kube_config_file))
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
        self.0.ask(question).await.map_err(|error| match error {
            AskError::Config(why) => ApiError::Config(why),
            AskError::Answer(why) => ApiError::Query { api, why },
        })
    }
}

/// A list of strings as Go's `%q` prints it.
fn go_list(items: &[String]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", quoted.join(" "))
}
