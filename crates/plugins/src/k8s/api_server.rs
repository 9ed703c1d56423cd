//! Questions to the API server, asked with the credentials as they are at that moment.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use steeple_core::Clock;
use steeple_transport::client::{HttpsError, https_request};
use steeple_transport::tls::{WebVerifier, https_client_config};
use tokio::time::timeout;

use super::kubelet::{REQUEST_MAX, bearer, roots};
use super::{ApiServer, KubeletError};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("unable to set up kube client: {0}")]
    Credentials(#[from] KubeletError),
    #[error("TLS settings: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{0}")]
    Question(#[from] http::Error),
    #[error("{0}")]
    Request(#[from] HttpsError),
    #[error("the API server gave no complete answer within {} s", REQUEST_MAX.as_secs())]
    Timeout,
    #[error("the API server answered {status}: {body}; the agent's service account needs {needs}")]
    Status { status: u16, body: String, needs: &'static str },
    #[error("the API server's answer cannot be read: {0}")]
    Parse(#[from] serde_json::Error),
}

/// One question, and the right that it takes.
pub(super) struct Question {
    pub path: String,
    /// What is to be created; without it what is there is got.
    pub json: Option<Bytes>,
    pub needs: &'static str,
}

impl ApiServer {
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        clock: &Arc<dyn Clock>,
        question: Question,
    ) -> Result<T, ApiError> {
        let needs = question.needs;
        let answer = timeout(REQUEST_MAX, self.exchange(clock, question)).await.map_err(|_| ApiError::Timeout)??;
        if !answer.status().is_success() {
            let body = String::from_utf8_lossy(answer.body()).trim().chars().take(ERROR_CHARS_MAX).collect();
            return Err(ApiError::Status { status: answer.status().as_u16(), body, needs });
        }
        Ok(serde_json::from_slice(answer.body())?)
    }

    async fn exchange(&self, clock: &Arc<dyn Clock>, question: Question) -> Result<Response<Bytes>, ApiError> {
        let files = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let roots = roots("API server CA", &files.ca_path)?;
            Ok::<_, KubeletError>((roots, bearer(&files.token_path)?))
        });
        let (roots, token) = read.await.map_err(|_| ApiError::Timeout)??;
        let verifier = WebVerifier::with_roots(&roots)
            .map_err(|_| KubeletError::NoCertificate { what: "API server CA", path: self.ca_path.clone() })?;
        let tls = https_client_config(verifier, Arc::clone(clock))?;
        let json = HeaderValue::from_static("application/json");
        let mut request = Request::builder()
            .method(if question.json.is_some() { Method::POST } else { Method::GET })
            .uri(format!("https://{}{}", self.address, question.path))
            .header(ACCEPT, &json)
            .header(AUTHORIZATION, token);
        if question.json.is_some() {
            request = request.header(CONTENT_TYPE, &json);
        }
        let request = request.body(Full::new(question.json.unwrap_or_default()))?;
        Ok(https_request(request, &tls, ANSWER_BYTES_MAX).await?)
    }
}

/// etcd takes objects of up to 1.5 MiB.
const ANSWER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Of a refusal.
const ERROR_CHARS_MAX: usize = 512;
