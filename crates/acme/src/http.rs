//! The requests of the ACME library over our own TLS: the roots of the machine, an end to time and size, no redirects.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use steeple_core::Clock;
use steeple_transport::client::https_request;
use steeple_transport::tls::{WebVerifier, https_client_config};

use crate::AcmeError;

pub(crate) struct AcmeHttp {
    tls: Arc<ClientConfig>,
}

impl AcmeHttp {
    /// Reads the machine's certificate files, each time: roots come and go.
    pub(crate) async fn new(clock: &Arc<dyn Clock>) -> Result<Self, AcmeError> {
        let verifier = tokio::task::spawn_blocking(WebVerifier::with_system_roots).await;
        let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))??;
        Ok(Self { tls: https_client_config(verifier, Arc::clone(clock))? })
    }
}

impl HttpClient for AcmeHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = Arc::clone(&self.tls);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // What is sent lies in memory already.
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let request = Request::from_parts(parts, Full::new(body));
            let response = https_request(request, &tls, ANSWER_BYTES_MAX).await;
            let response = response.map_err(|error| Error::Other(Box::new(error)))?;
            Ok(BytesResponse::from(response.map(Full::new)))
        })
    }
}

/// A directory, an order, or a certificate chain.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
