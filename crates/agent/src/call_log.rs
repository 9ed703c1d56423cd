//! SPIRE's fields on every line of the log that belongs to a call.

use std::task::{Context, Poll};

use http::{Request, Response};
use steeple_telemetry::log::call_names;
use steeple_transport::tls::TlsPeer;
use steeple_transport::uds::UdsPeer;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument;
use tracing::instrument::Instrumented;

#[derive(Clone, Copy)]
pub struct CallLog;

#[derive(Clone)]
pub struct CallLogService<S> {
    inner: S,
}

impl<S> Layer<S> for CallLog {
    type Service = CallLogService<S>;

    fn layer(&self, inner: S) -> CallLogService<S> {
        CallLogService { inner }
    }
}

impl<S> Service<Request<Body>> for CallLogService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (service, method) = call_names(request.uri().path());
        let pid = request.extensions().get::<UdsPeer>().map(|peer| peer.pid);
        let broker_peer = request.extensions().get::<TlsPeer>().and_then(TlsPeer::spiffe_id).map(|id| id.as_str());
        let span = tracing::error_span!("call", subsystem_name = ENDPOINTS, service, method, pid, broker_peer);
        self.inner.call(request).instrument(span)
    }
}

/// SPIRE's name for the listeners.
pub const ENDPOINTS: &str = "endpoints";
