//! Liveness and readiness: by how long ago the keys were last fetched.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use steeple_config::OidcHealthSettings;

use crate::KeySet;

/// Ready: a poll succeeded lately. Live: the same, or the process is young. SPIRE behaviour, empty bodies included.
pub(crate) fn router(settings: &OidcHealthSettings, keys: Arc<KeySet>, poll_interval: Duration) -> Router {
    let (live_path, ready_path) = (settings.live_path.clone(), settings.ready_path.clone());
    let age_max = age_max(poll_interval);
    Router::new().fallback(move |method: Method, uri: Uri| {
        let is_ok = match uri.path() {
            path if path == live_path => Some(keys.may_become_fresh(age_max)),
            path if path == ready_path => Some(keys.is_fresh(age_max)),
            _ => None,
        };
        let response = answer(&method, is_ok);
        async move { response }
    })
}

fn answer(method: &Method, is_ok: Option<bool>) -> Response {
    match is_ok {
        None => (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
        Some(_) if *method != Method::GET => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n").into_response(),
        Some(true) => StatusCode::OK.into_response(),
        Some(false) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Five polls, and at least three minutes. (SPIRE forgets the factor for intervals of 36 s and more, which makes a
/// provider with a slow poll flap.)
fn age_max(poll_interval: Duration) -> Duration {
    poll_interval.saturating_mul(5).max(Duration::from_secs(180))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shorter_than_a_poll() {
        assert_eq!(age_max(Duration::from_secs(10)), Duration::from_secs(180));
        assert_eq!(age_max(Duration::from_secs(60)), Duration::from_secs(300));
    }
}
