//! Bodies of gRPC messages that are looked at while they pass.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;

/// The beginning of what passed, as gRPC frames its messages.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<u8>);

/// What the client sends.
pub(super) struct Asked {
    pub(super) inner: Body,
    pub(super) seen: Arc<Mutex<Seen>>,
}

/// What the server answers; `ended` hears how, once.
pub(super) struct Answered<F: FnOnce(&Seen, Ending) + Unpin> {
    pub(super) inner: Body,
    pub(super) seen: Seen,
    pub(super) ended: Option<F>,
}

/// How a call came to its end.
#[derive(Debug)]
pub(super) enum Ending {
    /// With this status.
    Status(Status),
    /// The client went away, or the connection broke.
    Canceled,
}

impl Seen {
    fn add(&mut self, data: &[u8]) {
        let room = SEEN_BYTES_MAX.saturating_sub(self.0.len());
        self.0.extend_from_slice(&data[..data.len().min(room)]);
    }

    /// The first whole message.
    pub(super) fn first(&self) -> &[u8] {
        self.messages().next().unwrap_or_default()
    }

    /// The last whole message.
    pub(super) fn last(&self) -> &[u8] {
        self.messages().last().unwrap_or_default()
    }

    /// Each stands behind a byte for its compression, which no listener here offers, and its length.
    fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (head, behind) = rest.split_first_chunk::<5>()?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let (message, next) = behind.split_at_checked(usize::try_from(length).ok()?)?;
            rest = next;
            Some(message)
        })
    }
}

impl HttpBody for Asked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.seen.lock().add(data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<F: FnOnce(&Seen, Ending) + Unpin> Answered<F> {
    fn end(&mut self, ending: Ending) {
        if let Some(ended) = self.ended.take() {
            ended(&self.seen, ending);
        }
    }
}

impl<F: FnOnce(&Seen, Ending) + Unpin> HttpBody for Answered<F> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.seen.add(data);
                } else if let Some(status) = frame.trailers_ref().and_then(Status::from_header_map) {
                    self.end(Ending::Status(status));
                }
            }
            Some(Err(status)) => {
                let status = status.clone();
                self.end(Ending::Status(status));
            }
            None => self.end(Ending::Canceled),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<F: FnOnce(&Seen, Ending) + Unpin> Drop for Answered<F> {
    fn drop(&mut self) {
        self.end(Ending::Canceled);
    }
}

/// The largest message there is, with its frame. Of longer streams only the beginning counts.
const SEEN_BYTES_MAX: usize = (4 << 20) + 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_in_frames() {
        let mut seen = Seen::default();
        for part in [&b"\0\0\0\0\x02a"[..], b"b\0\0\0\0\0", b"\0\0\0\0\x03cd"] {
            seen.add(part);
        }
        assert_eq!(seen.messages().collect::<Vec<_>>(), [&b"ab"[..], b""], "the last one is not whole");
        assert_eq!((seen.first(), seen.last()), (&b"ab"[..], &b""[..]));
        seen.add(&vec![0; SEEN_BYTES_MAX]);
        assert_eq!(seen.0.len(), SEEN_BYTES_MAX);
        assert_eq!(Seen::default().first(), b"");
    }
}
