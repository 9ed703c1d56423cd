//! The labels of a namespace, from the API server, which alone knows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use steeple_core::Clock;

use super::ApiServer;
use super::api_server::{ApiError, Question};
use crate::json::or_empty;

#[derive(Debug, thiserror::Error)]
pub(super) enum NamespaceError {
    #[error("{0:?} is no name of a namespace")]
    BadName(String),
    #[error(transparent)]
    Api(#[from] ApiError),
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

/// Asks anew each time: labels decide about identities.
pub(super) async fn namespace_labels(
    server: &ApiServer,
    clock: &Arc<dyn Clock>,
    namespace: &str,
) -> Result<BTreeMap<String, String>, NamespaceError> {
    if namespace.is_empty() || !namespace.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(NamespaceError::BadName(namespace.to_owned()));
    }
    let path = format!("/api/v1/namespaces/{namespace}");
    let question = Question { path, json: None, needs: "`get` on namespaces" };
    let namespace: Namespace = server.ask(clock, question).await?;
    Ok(namespace.metadata.labels)
}
