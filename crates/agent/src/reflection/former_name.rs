//! Reflection under the name that it had before, by which most clients still call it.

use std::convert::Infallible;
use std::task::{Context, Poll};

use http::{Request, Response, Uri};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

/// `grpc.reflection.v1alpha` in front of a service of `grpc.reflection.v1`: their messages are the same on the wire.
#[derive(Clone)]
pub struct FormerName<S>(pub S);

impl<S> NamedService for FormerName<S> {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";
}

impl<S> Service<Request<Body>> for FormerName<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> S::Future {
        *request.uri_mut() = Uri::from_static("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
        self.0.call(request)
    }
}
