//! The labels of a namespace, from the API server, which alone knows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use steeple_core::Clock;
use steeple_transport::client::{HttpsReply, ServerDialer, get_over};
use steeple_transport::tls::{WebVerifier, https_client_config};
use tokio::time::timeout;

use super::kubelet::{REQUEST_MAX, bearer, roots};
use super::{ApiServer, KubeletError};
use crate::json::or_empty;

#[derive(Debug, thiserror::Error)]
pub(super) enum NamespaceError {
    #[error("unable to set up kube client: {0}")]
    Credentials(#[from] KubeletError),
    #[error("TLS settings: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{0:?} is no name of a namespace")]
    BadName(String),
    #[error("{0}")]
    Request(#[from] steeple_transport::client::HttpsError),
    #[error("the API server gave no complete answer within {} s", REQUEST_MAX.as_secs())]
    Timeout,
    #[error("the API server answered {status}: {body}; the agent's service account needs `get` on namespaces")]
    Status { status: u16, body: String },
    #[error("the API server's answer is no namespace: {0}")]
    Parse(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Namespace {
    metadata: NamespaceMetadata,
}

#[derive(Deserialize)]
struct NamespaceMetadata {
    #[serde(default, deserialize_with = "or_empty")]
    labels: BTreeMap<String, String>,
}

/// Asks anew each time, with the credentials as they are now: labels decide about identities.
pub(super) async fn namespace_labels(
    server: &ApiServer,
    clock: Arc<dyn Clock>,
    namespace: &str,
) -> Result<BTreeMap<String, String>, NamespaceError> {
    if namespace.is_empty() || !namespace.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(NamespaceError::BadName(namespace.to_owned()));
    }
    let reply = timeout(REQUEST_MAX, get(server, clock, namespace)).await.map_err(|_| NamespaceError::Timeout)??;
    if reply.status != StatusCode::OK {
        let body = String::from_utf8_lossy(&reply.body).trim().to_owned();
        return Err(NamespaceError::Status { status: reply.status.as_u16(), body });
    }
    let namespace: Namespace = serde_json::from_slice(&reply.body)?;
    Ok(namespace.metadata.labels)
}

async fn get(server: &ApiServer, clock: Arc<dyn Clock>, namespace: &str) -> Result<HttpsReply, NamespaceError> {
    let files = server.clone();
    let read = tokio::task::spawn_blocking(move || {
        let roots = roots("API server CA", &files.ca_path)?;
        Ok::<_, KubeletError>((roots, bearer(&files.token_path)?))
    });
    let (roots, token) = read.await.map_err(|_| NamespaceError::Timeout)??;
    let verifier = WebVerifier::with_roots(&roots)
        .map_err(|_| KubeletError::NoCertificate { what: "API server CA", path: server.ca_path.clone() })?;
    let tls = https_client_config(verifier, clock)?;
    let stream = ServerDialer::new([server.address.clone()], tls)
        .dial()
        .await
        .map_err(|error| NamespaceError::Request(error.into()))?;
    let url = format!("https://{}/api/v1/namespaces/{namespace}", server.address);
    Ok(get_over(stream, &url, HeaderMap::from_iter([(AUTHORIZATION, token)]), NAMESPACE_BYTES_MAX).await?)
}

/// etcd takes objects of up to 1.5 MiB.
const NAMESPACE_BYTES_MAX: usize = 2 * 1024 * 1024;
