//! The answer to a method that a listener does not have, in the words of gRPC's Go server, which clients compare.

use std::collections::HashSet;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::Either;
use http::{Request, Response};
use tonic::Status;
use tower::{Layer, Service};

/// Stands in front of a router, whose own answer has no text.
#[derive(Clone, Debug)]
pub struct KnownMethods(Arc<HashSet<String>>);

impl KnownMethods {
    /// `methods` are HTTP/2 paths: `/package.Service/Method`.
    pub fn of<M: Into<String>>(methods: impl IntoIterator<Item = M>) -> Self {
        Self(Arc::new(methods.into_iter().map(Into::into).collect()))
    }

    /// Why a call of `path` is not passed on.
    fn refusal(&self, path: &str) -> Option<Status> {
        if self.0.contains(path) {
            return None;
        }
        let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
            return Some(Status::unimplemented(format!("malformed method name: {path:?}")));
        };
        let of_service = |known: &String| known[1..].rsplit_once('/').is_some_and(|(known, _)| known == service);
        Some(Status::unimplemented(if self.0.iter().any(of_service) {
            format!("unknown method {method} for service {service}")
        } else {
            format!("unknown service {service}")
        }))
    }
}

impl<S> Layer<S> for KnownMethods {
    type Service = Known<S>;

    fn layer(&self, inner: S) -> Known<S> {
        Known { methods: self.clone(), inner }
    }
}

#[derive(Clone, Debug)]
pub struct Known<S> {
    methods: KnownMethods,
    inner: S,
}

type Answer<F, B, E> = Either<F, Ready<Result<Response<B>, E>>>;

impl<S, R, B> Service<Request<R>> for Known<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: Default,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Answer<S::Future, B, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        match self.methods.refusal(request.uri().path()) {
            Some(status) => Answer::Right(ready(Ok(status.into_http()))),
            None => Answer::Left(self.inner.call(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_as_grpc_go_names_it() {
        let known = KnownMethods::of(["/a.B/C", "/D/E"]);
        assert!(known.refusal("/a.B/C").is_none());
        for (path, text) in [
            ("/a.B/X", "unknown method X for service a.B"),
            ("/a.X/C", "unknown service a.X"),
            ("/a/B/C", "unknown service a/B"),
            ("/", "malformed method name: \"/\""),
        ] {
            assert_eq!(known.refusal(path).unwrap().message(), text);
        }
    }
}
