//! The answer to a service that a listener does not have, in the words of gRPC's Go server, which clients compare.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::future::Either;
use http::{Request, Response};
use tonic::Status;
use tower::{Layer, Service};

use super::row;

/// Stands in front of a router: tonic's own answer has no text.
#[derive(Clone, Copy, Debug)]
pub struct UnknownService;

#[derive(Clone)]
pub struct Named<S> {
    inner: S,
}

impl<S> Layer<S> for UnknownService {
    type Service = Named<S>;

    fn layer(&self, inner: S) -> Named<S> {
        Named { inner }
    }
}

impl<S, R, B> Service<Request<R>> for Named<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: Default,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<B>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let path = request.uri().path();
        // Services of the admin socket do not exist on TCP (recorded SPIRE behaviour).
        let local_only = |row: &super::Row| row.local && !row.admin && !row.any;
        let on_tcp = request.extensions().get::<steeple_transport::tls::TlsPeer>().is_some();
        let missing = match row(path) {
            Some(row) => on_tcp && local_only(row),
            None => true,
        };
        if missing {
            let service = path.trim_start_matches('/').rsplit_once('/').map_or(path, |(service, _)| service);
            return Either::Right(ready(Ok(Status::unimplemented(format!("unknown service {service}")).into_http())));
        }
        Either::Left(self.inner.call(request))
    }
}
