//! The security header: exactly one `workload.spiffe.io: true`, so that no browser or proxy can be talked into calling.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::future::Either;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tower::{Layer, Service};

/// Applies to the Workload API only; SDS, health and reflection are exempt (SPIRE behaviour).
#[derive(Clone, Copy, Debug)]
pub struct SecurityHeader;

#[derive(Clone)]
pub struct Checked<S> {
    inner: S,
}

impl<S> Layer<S> for SecurityHeader {
    type Service = Checked<S>;

    fn layer(&self, inner: S) -> Checked<S> {
        Checked { inner }
    }
}

impl<S> Service<Request<Body>> for Checked<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with(WORKLOAD_API) && !is_present(&request) {
            let status = Status::invalid_argument("security header missing from request");
            return Either::Right(ready(Ok(status.into_http())));
        }
        Either::Left(self.inner.call(request))
    }
}

/// A request with that header, for calls to a Workload API.
pub fn with_security_header<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert(HEADER, MetadataValue::from_static("true"));
    request
}

fn is_present(request: &Request<Body>) -> bool {
    let mut values = request.headers().get_all(HEADER).iter();
    matches!((values.next(), values.next()), (Some(value), None) if value.as_bytes() == b"true")
}

const WORKLOAD_API: &str = "/SpiffeWorkloadAPI/";
const HEADER: &str = "workload.spiffe.io";
