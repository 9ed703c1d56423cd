//! The end of open streams at shutdown. Clients reconnect at once after `Unavailable`, while the end of a stream that
//! looks orderly makes some of them stop for good.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::watch;
use tonic::Status;

type Told = Pin<Box<dyn Future<Output = ()> + Send>>;

pin_project! {
    /// A response body that ends with `Unavailable` once streams are told to end and it has nothing to send: a stream
    /// that waits for news does, the one answer of a unary call is there when its body begins.
    pub(super) struct Leaving<B> {
        // None once it was cut.
        #[pin]
        inner: Option<B>,
        streams_end: watch::Receiver<()>,
        // Made at the first wait: most bodies never do.
        told: Option<Told>,
    }
}

impl<B> Leaving<B> {
    /// `streams_end` tells by its sender's end.
    pub(super) fn new(inner: B, streams_end: watch::Receiver<()>) -> Self {
        Self { inner: Some(inner), streams_end, told: None }
    }
}

impl<B: Body<Data = Bytes>> Body for Leaving<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = inner.poll_frame(context) {
            return Poll::Ready(frame);
        }
        let told = this.told.get_or_insert_with(|| {
            let mut streams_end = this.streams_end.clone();
            Box::pin(async move { while streams_end.changed().await.is_ok() {} })
        });
        ready!(told.as_mut().poll(context));
        this.inner.set(None);
        Poll::Ready(Some(Ok(Frame::trailers(unavailable()))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

fn unavailable() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // Fails only for metadata, of which there is none.
    let _ = Status::unavailable("the server is shutting down").add_header(&mut trailers);
    trailers
}
