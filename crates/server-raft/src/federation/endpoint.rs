//! The bundle endpoint (SPIFFE Federation, section 5): the own bundle on `GET /`, for anybody who asks.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use steeple_acme::Directory;
use steeple_ca::jwks::print_spiffe_bundle;
use steeple_config::{AcmeSettings, BundleEndpointSettings, EndpointProfile, GoDuration, HostPort};
use steeple_core::Bundle;
use steeple_transport::serve::serve_https;
use steeple_transport::tls::{
    AcceptLimits, CertFiles, CertFilesError, HttpsListener, IdentityStore, KeyExchange, TlsAcceptor,
    acme_server_config, https_server_config,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::service_fn;

use crate::driver::acme::certificates_by_acme;
use crate::service::Shared;

/// Bound, and not yet serving.
pub struct BundleEndpoint {
    listener: TcpListener,
    listen: HostPort,
    refresh_hint: Duration,
    certificate: Certificate,
}

/// What the endpoint shows in handshakes.
enum Certificate {
    /// `https_spiffe`: the server's own SVID.
    OwnSvid,
    /// `https_web`, from an ACME server.
    Acme(AcmeSettings),
    /// `https_web`.
    Files { files: Arc<CertFiles>, sync_interval: Duration },
}

#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error(
        "cannot listen on {listen} for the bundle endpoint: {source}; stop what is using the port, or set \
         federation.bundle_endpoint.port"
    )]
    Listen { listen: HostPort, source: std::io::Error },
    #[error("bundle endpoint: failed to load certificate: {0}")]
    Certificate(#[from] CertFilesError),
}

impl BundleEndpoint {
    /// Takes the port and reads the certificate files, so that what is wrong with them is told before anything runs.
    pub async fn bind(settings: &BundleEndpointSettings) -> Result<Self, EndpointError> {
        let certificate = match &settings.profile {
            EndpointProfile::HttpsSpiffe => Certificate::OwnSvid,
            EndpointProfile::WebAcme(acme) => Certificate::Acme(acme.clone()),
            EndpointProfile::WebServingCert(serving) => Certificate::Files {
                files: CertFiles::load(&serving.cert_file_path, &serving.key_file_path)?,
                sync_interval: serving.file_sync_interval,
            },
        };
        let listen = settings.listen.clone();
        let listener = TcpListener::bind((listen.host.as_str(), listen.port)).await;
        let listener = listener.map_err(|source| EndpointError::Listen { listen: listen.clone(), source })?;
        Ok(Self { listener, listen, refresh_hint: settings.refresh_hint, certificate })
    }

    /// Serves until `stop`. `own` is the server's SVID, which must be there by now.
    pub fn serve(
        self,
        shared: &Shared,
        own: Arc<IdentityStore>,
        key_exchange: KeyExchange,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<(), rustls::Error> {
        let (replica, clock) = (shared.replica.clone(), Arc::clone(&shared.clock));
        let tls = match self.certificate {
            Certificate::Acme(AcmeSettings { directory_url, domain_name, email, tos_accepted }) => {
                let directory = Directory { url: directory_url, email, tos_accepted };
                let shown = certificates_by_acme(shared, directory, vec![domain_name], tasks, stop);
                acme_server_config(shown, key_exchange, clock)?
            }
            Certificate::OwnSvid => https_server_config(own, key_exchange, clock)?,
            Certificate::Files { files, sync_interval } => {
                tracing::info!(interval = %GoDuration::from(sync_interval), "Started watching certificate files");
                tasks.spawn(Arc::clone(&files).watch(sync_interval, stop.clone().cancelled_owned()));
                https_server_config(files, key_exchange, clock)?
            }
        };
        let refresh_hint = self.refresh_hint;
        let freshness = shared.freshness.clone();
        let service = service_fn(move |request: Request<_>| {
            let own = replica.state().read().own_bundle().filter(|_| freshness.check().is_ok()).cloned();
            ready(Ok::<_, Infallible>(answer(&request, own.as_deref(), refresh_hint)))
        });
        let (accepted, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
        tracing::info!(
            addr = %self.listen,
            refresh_hint = %GoDuration::from(refresh_hint),
            "Serving bundle endpoint"
        );
        tasks.spawn(TlsAcceptor::new(tls, LIMITS).run(HttpsListener(self.listener), accepted));
        tasks.spawn(serve_https(service, incoming, stop.clone().cancelled_owned()));
        Ok(())
    }
}

/// SPIRE's answers, in its order of checks.
fn answer<B>(request: &Request<B>, own: Option<&Bundle>, refresh_hint: Duration) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n");
    }
    if request.uri().path() != "/" {
        return text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    let Some(own) = own else {
        tracing::error!("Unable to retrieve local bundle");
        return text(StatusCode::INTERNAL_SERVER_ERROR, "500 unable to retrieve local bundle\n");
    };
    let refresh_hint = i64::try_from(refresh_hint.as_secs()).unwrap_or(i64::MAX);
    match print_spiffe_bundle(&Bundle { refresh_hint, ..own.clone() }) {
        Ok(document) => {
            let mut response = Response::new(Full::from(document));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => {
            tracing::error!(%error, "Unable to marshal local bundle");
            text(StatusCode::INTERNAL_SERVER_ERROR, "500 unable to marshal local bundle\n")
        }
    }
}

/// As Go's `http.Error` answers.
fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// Anybody on the network may ask, and nobody needs to ask often.
const LIMITS: AcceptLimits = AcceptLimits {
    handshakes_max: 64,
    handshake_timeout: Duration::from_secs(5),
    connections_max: 1024,
    connections_per_ip_max: 256,
};
/// Connections that passed TLS and wait to be served.
const ACCEPTED_WAITING_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use steeple_core::TrustDomain;

    use super::*;

    fn ask(method: Method, path: &str, own: Option<&Bundle>) -> Response<Full<Bytes>> {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        answer(&request, own, Duration::from_secs(600))
    }

    #[test]
    fn only_get_on_the_root_is_answered_with_the_bundle() {
        let own = Bundle { sequence: 3, ..Bundle::empty(TrustDomain::from_name("a.test").unwrap()) };
        let status = |method, path| ask(method, path, Some(&own)).status().as_u16();
        assert_eq!(status(Method::GET, "/"), 200);
        assert_eq!(status(Method::GET, "/?a=b"), 200);
        for path in ["/other", "//", "/index.json"] {
            assert_eq!(status(Method::GET, path), 404);
        }
        for method in [Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS] {
            assert_eq!(status(method.clone(), "/"), 405);
            assert_eq!(status(method, "/other"), 405);
        }
        assert_eq!(ask(Method::GET, "/", None).status().as_u16(), 500);
        let response = ask(Method::GET, "/", Some(&own));
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    }
}
