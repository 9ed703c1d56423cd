//! The service as the router sees it. The generated one encodes every message anew.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request as HttpRequest, Response as HttpResponse};
use steeple_api::steeple::agent::FromAgent;
use steeple_transport::serve::ConnectionAge;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tower::Service;
use tracing::Instrument as _;

use super::codec::PushCodec;
use super::session::{self, Session};
use crate::authz::authorized;
use crate::service::Shared;

/// Encoded messages that wait for a slow agent.
const MESSAGES_WAITING_MAX: usize = 2;

#[derive(Clone)]
pub struct PushServer {
    shared: Arc<Shared>,
}

impl PushServer {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn open(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<ReceiverStream<Sent>>, Status> {
        let caller = authorized(&request)?;
        let mut connection = request.extensions().get::<ConnectionAge>().map(ConnectionAge::long_call);
        let (sender, messages) = mpsc::channel(MESSAGES_WAITING_MAX);
        let session = Session::new(Arc::clone(&self.shared), caller)?;
        let session = async move {
            let connection_ends = async {
                match &mut connection {
                    Some(call) => call.connection_ends().await,
                    None => std::future::pending().await,
                }
            };
            session::run(session, request.into_inner(), sender, connection_ends).await;
        };
        tokio::spawn(session.in_current_span());
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

type Sent = Result<Bytes, Status>;

impl StreamingService<FromAgent> for PushServer {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Sent>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<FromAgent>>) -> Self::Future {
        ready(self.open(request))
    }
}

impl Service<HttpRequest<Body>> for PushServer {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(Grpc::new(PushCodec).streaming(service, request).await) })
    }
}

impl NamedService for PushServer {
    const NAME: &'static str = "steeple.agent.v1.Push";
}
