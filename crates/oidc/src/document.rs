//! The discovery document (OpenID Connect Discovery 1.0, section 3), as SPIRE's provider writes it.

use serde_json::json;
use steeple_config::{BaseUrl, OidcSettings};

use crate::request::Reached;

/// For a client that came as `reached` says, whose domain has been checked.
pub(crate) fn discovery_document(settings: &OidcSettings, reached: &Reached) -> String {
    let scheme = if settings.allow_insecure_scheme && !reached.is_https { "http" } else { "https" };
    let own = BaseUrl {
        scheme: scheme.to_owned(),
        host: reached.host.clone(),
        path: settings.issuer_path.clone(),
        rest: String::new(),
    };
    let issuer = settings.jwt_issuer.as_ref().unwrap_or(&own);
    // SPIRE behaviour: without `jwks_uri` the keys are said to stand beside the issuer, wherever that is.
    let jwks_uri = settings.jwks_uri.clone().unwrap_or_else(|| issuer.join("keys"));
    let document = json!({
        "issuer": issuer.to_string(),
        "jwks_uri": jwks_uri.to_string(),
        "authorization_endpoint": "",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "ES384"],
    });
    format!("{document:#}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use steeple_config::{HostPort, LogFormat, LogLevel, LogSettings, OidcListener};

    pub(crate) fn settings() -> OidcSettings {
        OidcSettings {
            domains: vec!["issuer.test".into()],
            listener: OidcListener::Insecure(HostPort::new("127.0.0.1", 1)),
            allow_insecure_scheme: false,
            set_key_use: false,
            jwt_issuer: None,
            jwks_uri: None,
            path_prefix: String::new(),
            issuer_path: String::new(),
            log_requests: false,
            log: LogSettings { level: LogLevel::Info, format: LogFormat::Text, file: None, source_location: false },
            health: None,
        }
    }

    fn urls(settings: &OidcSettings) -> (String, String) {
        let reached = Reached { host: "issuer.test:8443".into(), is_https: false };
        let document: serde_json::Value = serde_json::from_str(&discovery_document(settings, &reached)).unwrap();
        let url = |name: &str| document[name].as_str().unwrap().to_owned();
        (url("issuer"), url("jwks_uri"))
    }

    fn base(host: &str, path: &str) -> Option<BaseUrl> {
        Some(BaseUrl { scheme: "https".into(), host: host.into(), path: path.into(), rest: String::new() })
    }

    #[test]
    fn urls_follow_the_request_unless_they_are_configured() {
        let plain = settings();
        assert_eq!(urls(&plain), ("https://issuer.test:8443".into(), "https://issuer.test:8443/keys".into()));
        let insecure = OidcSettings { allow_insecure_scheme: true, issuer_path: "/x/".into(), ..plain.clone() };
        assert_eq!(urls(&insecure), ("http://issuer.test:8443/x/".into(), "http://issuer.test:8443/x/keys".into()));
        let named = OidcSettings { jwt_issuer: base("other.test", "/y"), ..insecure };
        assert_eq!(urls(&named), ("https://other.test/y".into(), "https://other.test/y/keys".into()));
        let both = OidcSettings { jwks_uri: base("keys.test", "/z"), ..named };
        assert_eq!(urls(&both), ("https://other.test/y".into(), "https://keys.test/z".into()));
    }

    #[test]
    fn it_is_indented_by_two() {
        let reached = Reached { host: "a".into(), is_https: true };
        let text = discovery_document(&settings(), &reached);
        assert!(text.starts_with("{\n  \"issuer\": \"https://a\",\n  \"jwks_uri\": \"https://a/keys\",\n"), "{text}");
    }
}
