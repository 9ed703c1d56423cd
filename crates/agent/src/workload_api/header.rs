//! Security headers: exactly one `workload.spiffe.io: true`, so that no browser or proxy can be talked into calling.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::future::Either;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tower::{Layer, Service};

/// Applies to the Workload API only; SDS, health and reflection are exempt (SPIRE behaviour).
pub const WORKLOAD_GATE: Gate = Gate(|request| match request.uri().path().starts_with(WORKLOAD_API) {
    true => check_header(request, HEADER),
    false => Ok(()),
});

/// Turns requests away before their messages are read.
#[derive(Clone, Copy, Debug)]
pub struct Gate(pub fn(&Request<Body>) -> Result<(), Status>);

#[derive(Clone)]
pub struct Gated<S> {
    check: fn(&Request<Body>) -> Result<(), Status>,
    inner: S,
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { check: self.0, inner }
    }
}

impl<S> Service<Request<Body>> for Gated<S>
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
        match (self.check)(&request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}

/// A request with that header, for calls to a Workload API.
pub fn with_security_header<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert(HEADER, MetadataValue::from_static("true"));
    request
}

/// SPIRE's status where it is not there, exactly once and with its value.
pub fn check_header(request: &Request<Body>, name: &'static str) -> Result<(), Status> {
    let mut values = request.headers().get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value.as_bytes() == b"true" => Ok(()),
        _ => Err(Status::invalid_argument("security header missing from request")),
    }
}

const WORKLOAD_API: &str = "/SpiffeWorkloadAPI/";
const HEADER: &str = "workload.spiffe.io";
