//! The two documents over HTTP, with SPIRE's statuses, texts and headers.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, EXPIRES, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    LOCATION, PRAGMA, USER_AGENT, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, Request, StatusCode};
use steeple_ca::jwks::print_oidc_keys;
use steeple_config::{OidcSettings, domain_fault, go_quoted};

use crate::KeySet;
use crate::document::discovery_document;
use crate::request::Reached;
use crate::route::Route;

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
        let path = match Route::of(request.uri()) {
            Route::Path(path) => path,
            Route::Elsewhere(path) => return (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, path)]).into_response(),
        };
        match path.strip_prefix(self.settings.path_prefix.as_str()) {
            Some(DISCOVERY_PATH | KEYS_PATH) if request.method() != Method::GET => {
                refuse(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
            }
            Some(DISCOVERY_PATH) => self.discovery(request),
            Some(KEYS_PATH) => self.keys(request.headers()),
            _ => refuse(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    fn discovery<B>(&self, request: &Request<B>) -> Response {
        let reached = Reached::of(request, self.over_tls);
        let domain = reached.domain();
        let is_allowed = self.settings.domains.iter().any(|own| own == domain);
        let not_allowed = || (!is_allowed).then(|| format!("domain {} is not allowed", go_quoted(domain)));
        if let Some(fault) = domain_fault(domain).or_else(not_allowed) {
            return refuse(StatusCode::BAD_REQUEST, &fault);
        }
        let headers = [(CONTENT_TYPE, "application/json"), (ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
        (headers, discovery_document(&self.settings, &reached)).into_response()
    }

    fn keys(&self, asked: &HeaderMap) -> Response {
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
            (ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned()),
            // A relying party must see a revoked key go.
            (CACHE_CONTROL, "no-cache, no-store, must-revalidate".to_owned()),
            (PRAGMA, "no-cache".to_owned()),
            (EXPIRES, "0".to_owned()),
            (LAST_MODIFIED, httpdate::fmt_http_date(published.since)),
        ];
        if is_unchanged(asked, published.since) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, [(CONTENT_TYPE, "application/json")], keys).into_response()
    }
}

/// RFC 9110, section 13.1.3: whoever sends both dates and tags asks for the tags, and there are none.
fn is_unchanged(asked: &HeaderMap, since: SystemTime) -> bool {
    let date = asked.get(IF_MODIFIED_SINCE).filter(|_| !asked.contains_key(IF_NONE_MATCH));
    let seen = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    seen.is_some_and(|seen| seconds(since) <= seconds(seen))
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
    fn keys_that_have_not_changed_are_not_sent_again() {
        let at = |secs| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(secs);
        let asked = |name: http::HeaderName, secs| {
            HeaderMap::from_iter([(name, httpdate::fmt_http_date(at(secs)).parse().unwrap())])
        };
        assert!(is_unchanged(&asked(IF_MODIFIED_SINCE, 100), at(100) + std::time::Duration::from_millis(900)));
        assert!(!is_unchanged(&asked(IF_MODIFIED_SINCE, 99), at(100)));
        assert!(!is_unchanged(&HeaderMap::new(), at(100)));
        let mut both = asked(IF_MODIFIED_SINCE, 100);
        both.extend(asked(IF_NONE_MATCH, 0));
        assert!(!is_unchanged(&both, at(100)));
    }

    #[test]
    fn a_prefix_is_part_of_the_path() {
        let handler = handler(OidcSettings { path_prefix: "/oidc".into(), ..settings() });
        assert_eq!(handler.answer(&get("/oidc/.well-known/openid-configuration")).status(), StatusCode::OK);
        assert_eq!(handler.answer(&get("/.well-known/openid-configuration")).status(), StatusCode::NOT_FOUND);
        assert_eq!(handler.answer(&get("/oidckeys")).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_path_is_read_as_gos_server_reads_it() {
        let handler = handler(settings());
        handler.keys.set(Vec::new());
        assert_eq!(handler.answer(&get("/%6beys")).status(), StatusCode::NOT_IMPLEMENTED);
        let moved = handler.answer(&get("//keys"));
        assert_eq!(
            (moved.status(), &moved.headers()[LOCATION]),
            (StatusCode::TEMPORARY_REDIRECT, &"/keys".parse().unwrap())
        );
    }

    #[test]
    fn a_host_with_more_than_a_port_is_refused() {
        let request = Request::get("/.well-known/openid-configuration").header("host", "issuer.test:1/x");
        let response = handler(settings()).answer(&request.body(()).unwrap());
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
}
