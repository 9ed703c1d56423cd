//! The two documents over HTTP, with SPIRE's statuses, texts and headers.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, LAST_MODIFIED, PRAGMA, USER_AGENT,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, StatusCode};
use steeple_ca::jwks::print_oidc_keys;
use steeple_config::{OidcSettings, go_quoted};

use crate::KeySet;
use crate::document::discovery_document;
use crate::request::Reached;

pub(crate) struct Handler {
    pub settings: OidcSettings,
    pub keys: Arc<KeySet>,
    /// Whether requests come over TLS that ends here.
    pub over_tls: bool,
}

impl Handler {
    pub(crate) fn router(self) -> Router {
        let handler = Arc::new(self);
        Router::new().fallback(move |request: Request<axum::body::Body>| {
            let response = handler.answer(&request);
            async move { response }
        })
    }

    fn answer<B>(&self, request: &Request<B>) -> Response {
        if self.settings.log_requests {
            let agent = request.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
            tracing::debug!(method = %request.method(), url = %request.uri(), user_agent = agent, "Incoming request");
        }
        let path = request.uri().path().strip_prefix(self.settings.path_prefix.as_str());
        match path {
            Some(DISCOVERY_PATH | KEYS_PATH) if request.method() != Method::GET => {
                refuse(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
            }
            Some(DISCOVERY_PATH) => self.discovery(request),
            Some(KEYS_PATH) => self.keys(),
            _ => refuse(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    fn discovery<B>(&self, request: &Request<B>) -> Response {
        let reached = Reached::of(request, self.over_tls);
        let allowed = |domain: &str| self.settings.domains.iter().any(|own| own == domain);
        if !reached.domain().is_some_and(allowed) {
            let domain = go_quoted(reached.domain().unwrap_or(&reached.host));
            return refuse(StatusCode::BAD_REQUEST, &format!("domain {domain} is not allowed"));
        }
        let headers = [(CONTENT_TYPE, "application/json"), (ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
        (headers, discovery_document(&self.settings, &reached)).into_response()
    }

    fn keys(&self) -> Response {
        let Some(published) = self.keys.published() else {
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, "document not available");
        };
        if published.authorities.is_empty() {
            return refuse(StatusCode::NOT_IMPLEMENTED, "jwt not supported/enabled in this service");
        }
        let keys = match print_oidc_keys(&published.authorities, self.settings.set_key_use) {
            Ok(keys) => keys,
            Err(error) => {
                tracing::error!(error = %error, "Failed to get public key algorithm");
                return refuse(StatusCode::INTERNAL_SERVER_ERROR, "failed to marshal JWKS");
            }
        };
        let headers = [
            (CONTENT_TYPE, "application/json".to_owned()),
            (ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned()),
            // A relying party must see a revoked key go.
            (CACHE_CONTROL, "no-cache, no-store, must-revalidate".to_owned()),
            (PRAGMA, "no-cache".to_owned()),
            (EXPIRES, "0".to_owned()),
            (LAST_MODIFIED, httpdate::fmt_http_date(published.since)),
        ];
        (headers, keys).into_response()
    }
}

/// As Go's `http.Error` writes it.
fn refuse(status: StatusCode, text: &str) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, format!("{text}\n")).into_response()
}

const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
const KEYS_PATH: &str = "/keys";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::tests::settings;
    use steeple_core::JwtAuthority;

    fn handler(settings: OidcSettings) -> Handler {
        Handler { settings, keys: Arc::new(KeySet::new()), over_tls: false }
    }

    fn get(path: &str) -> Request<()> {
        Request::get(path).header("host", "issuer.test").body(()).unwrap()
    }

    #[test]
    fn keys_before_the_first_poll_and_without_any() {
        let handler = handler(settings());
        assert_eq!(handler.answer(&get("/keys")).status(), StatusCode::INTERNAL_SERVER_ERROR);
        handler.keys.set(Vec::new());
        assert_eq!(handler.answer(&get("/keys")).status(), StatusCode::NOT_IMPLEMENTED);
    }

    #[test]
    fn a_key_that_cannot_be_printed_is_an_error_not_a_gap() {
        let handler = handler(settings());
        handler.keys.set(vec![JwtAuthority { public_key: vec![1], key_id: "x".into(), expires_at: 0, tainted: false }]);
        assert_eq!(handler.answer(&get("/keys")).status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn a_prefix_is_part_of_the_path() {
        let handler = handler(OidcSettings { path_prefix: "/oidc".into(), ..settings() });
        assert_eq!(handler.answer(&get("/oidc/.well-known/openid-configuration")).status(), StatusCode::OK);
        assert_eq!(handler.answer(&get("/.well-known/openid-configuration")).status(), StatusCode::NOT_FOUND);
        assert_eq!(handler.answer(&get("/oidckeys")).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_host_with_more_than_a_port_is_refused() {
        let request = Request::get("/.well-known/openid-configuration").header("host", "issuer.test:1/x");
        let response = handler(settings()).answer(&request.body(()).unwrap());
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
}
