//! The requests of the library over our own TLS, and the answers without what they repeat of a request.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::IF_NONE_MATCH;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use steeple_core::Clock;
use steeple_transport::client::{HttpsError, http_request, https_request};
use steeple_transport::tls::{WebVerifier, https_client_config};

use crate::S3Error;
use crate::error::Refusal;
use crate::reader::PART_BYTES;

#[derive(Debug)]
pub(crate) struct Connector {
    tls: Arc<ClientConfig>,
}

/// One bucket, or one source of credentials.
#[derive(Debug)]
struct Service {
    tls: Arc<ClientConfig>,
    allow_http: bool,
}

impl Connector {
    /// Reads the certificate files, each time: roots come and go.
    pub(crate) async fn new(ca: Option<PathBuf>, clock: Arc<dyn Clock>) -> Result<Self, S3Error> {
        let verifier = tokio::task::spawn_blocking(move || verifier(ca.as_deref())).await;
        let verifier = verifier.map_err(|error| S3Error::settings(error.to_string()))??;
        let tls = https_client_config(verifier, clock);
        Ok(Self { tls: tls.map_err(|error| S3Error::settings(error.to_string()))? })
    }
}

fn verifier(ca: Option<&Path>) -> Result<Arc<WebVerifier>, S3Error> {
    let Some(path) = ca else {
        return WebVerifier::with_system_roots().map_err(|error| S3Error::settings(error.to_string()));
    };
    let named = |error: &dyn std::fmt::Display| S3Error::settings(format!("{}: {error}", path.display()));
    let roots: Result<Vec<Vec<u8>>, _> = CertificateDer::pem_file_iter(path)
        .and_then(|roots| roots.map(|root| root.map(|root| root.to_vec())).collect());
    WebVerifier::with_roots(&roots.map_err(|error| named(&error))?)
        .map_err(|_| named(&"it holds no certificate that can be trusted"))
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allow_http = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        Ok(HttpClient::new(Service { tls: Arc::clone(&self.tls), allow_http }))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = request.into_parts();
        if completes_upload(&parts.method, parts.uri.query()) {
            parts.headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        // What is sent lies in memory already, in one piece.
        let body = body.collect().await?.to_bytes();
        let is_plain = self.allow_http && parts.uri.scheme_str() == Some("http");
        let request = Request::from_parts(parts, Full::new(body));
        let response = match is_plain {
            true => http_request(request, ANSWER_BYTES_MAX).await,
            false => https_request(request, &self.tls, ANSWER_BYTES_MAX).await,
        };
        Ok(told(response.map_err(failed)?))
    }
}

/// The library overwrites what has the name already when it completes an upload, and offers no other way. The header
/// need not be signed, as AWS documents, and the library itself adds it after signing where it copies objects.
fn completes_upload(method: &Method, query: Option<&str>) -> bool {
    method == Method::POST && query.is_some_and(|query| query.starts_with("uploadId="))
}

/// A refusal repeats the request that was to be signed, with the session's token among its headers: only what is known
/// to be harmless goes on.
fn told(response: Response<Bytes>) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let body = match parts.status.is_success() {
        true => body,
        false => Refusal::read(&body).map(|refusal| refusal.to_xml().into()).unwrap_or_default(),
    };
    HttpResponse::from_parts(parts, HttpResponseBody::from(body))
}

/// What may be of another mind in a moment is tried again; a certificate that is refused stays so.
fn failed(error: HttpsError) -> HttpError {
    let kind = match &error {
        HttpsError::Timeout(_) => HttpErrorKind::Timeout,
        HttpsError::Http(_) => HttpErrorKind::Interrupted,
        HttpsError::Connect(_) => HttpErrorKind::Connect,
        HttpsError::Dial(_) if !is_of_tls(&error) => HttpErrorKind::Connect,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error)
}

/// Whether the other end was reached, and TLS refused it.
pub(crate) fn is_of_tls(error: &HttpsError) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<rustls::Error>()) || cause.is::<rustls::Error>() {
            return true;
        }
        next = cause.source();
    }
    false
}

/// A part of an object, with room for a page of a listing: 1,000 names.
const ANSWER_BYTES_MAX: usize = PART_BYTES + (1 << 20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_an_upload_asks_that_its_name_is_free() {
        assert!(completes_upload(&Method::POST, Some("uploadId=a")));
        for (method, query) in
            [(Method::POST, Some("uploads")), (Method::PUT, Some("uploadId=a")), (Method::POST, None)]
        {
            assert!(!completes_upload(&method, query), "{method} {query:?}");
        }
        assert!(!completes_upload(&Method::DELETE, Some("uploadId=a")));
    }

    #[tokio::test]
    async fn a_refusal_goes_on_without_the_request_that_it_repeats() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message>\
                    <CanonicalRequest>x-amz-security-token:CANARY</CanonicalRequest></Error>";
        let refused = Response::builder().status(403).body(Bytes::from_static(body.as_bytes())).unwrap();
        let told = told(refused).into_body().collect().await.unwrap().to_bytes();
        let told = String::from_utf8(told.to_vec()).unwrap();
        assert!(told.contains("SignatureDoesNotMatch") && !told.contains("CANARY"), "{told}");
    }
}
