//! Whether Kubernetes lets a broker have the identity of a pod: a SubjectAccessReview with SPIRE's verb.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use steeple_core::{Clock, SpiffeId};

use super::ApiServer;
use super::api_server::{ApiError, Question};
use super::pod::Metadata;
use crate::json::or_empty;

#[derive(Deserialize)]
struct Review {
    #[serde(default, deserialize_with = "or_empty")]
    status: ReviewStatus,
}

#[derive(Default, Deserialize)]
struct ReviewStatus {
    #[serde(default, deserialize_with = "or_empty")]
    allowed: bool,
}

/// Asks anew each time. The broker's SPIFFE ID is the user, without groups.
pub(super) async fn allows(
    server: &ApiServer,
    clock: &Arc<dyn Clock>,
    broker: &SpiffeId,
    pod: &Metadata,
) -> Result<bool, ApiError> {
    let asked = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": broker.as_str(),
            "resourceAttributes": {
                "group": "", "resource": "pods", "namespace": pod.namespace, "name": pod.name, "verb": VERB,
            },
        },
    });
    let question = Question {
        path: "/apis/authorization.k8s.io/v1/subjectaccessreviews".to_owned(),
        json: Some(asked.to_string().into()),
        needs: "`create` on subjectaccessreviews.authorization.k8s.io",
    };
    let review: Review = server.ask(clock, question).await?;
    Ok(review.status.allowed)
}

const VERB: &str = "impersonate-via-spire";
