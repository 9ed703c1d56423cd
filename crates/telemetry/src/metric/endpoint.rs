//! The Prometheus endpoint. It answers on every path, as SPIRE's does.

use axum::Router;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;

use super::Metrics;

pub fn router(metrics: Metrics) -> Router {
    Router::new().fallback(move || {
        let metrics = metrics.clone();
        async move { ([(CONTENT_TYPE, TEXT_FORMAT)], metrics.render()).into_response() }
    })
}

/// Prometheus' text exposition format. Names have no characters that would have to be escaped.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
