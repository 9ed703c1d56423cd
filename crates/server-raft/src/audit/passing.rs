//! Bodies of gRPC messages that are looked at while they pass.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;

use super::trail::Unwritten;

/// The beginning of what passed, as gRPC frames its messages.
#[derive(Debug, Default)]
pub(super) struct Seen {
    bytes: Vec<u8>,
    /// Somebody behind the gate may have read it.
    is_let_through: bool,
}

/// What the client sends.
pub(super) struct Asked {
    pub(super) inner: Body,
    pub(super) seen: Arc<Mutex<Seen>>,
    pub(super) gate: Gate,
}

/// What becomes of the client's first message before anybody else sees it.
pub(super) enum Gate {
    /// It passes.
    Open,
    /// It is held until it is whole; then it is to be put on record.
    Shut(Option<Intent>, Held),
    /// It is held until it is on record.
    Recording(Recorded, Held),
    /// It goes on.
    Opened(Held),
    /// It could not be put on record.
    Refused,
}

/// Puts on record what is about to be done.
pub(super) type Intent = Box<dyn FnOnce(&Seen) -> Recorded + Send>;
/// Resolves when something is on record, or cannot be.
pub(super) type Recorded = BoxFuture<'static, Result<(), Unwritten>>;
/// Resolves when an answer may go out, or with what takes its place.
pub(super) type Concluded = BoxFuture<'static, Result<(), Status>>;
type Frames = Result<Frame<Bytes>, Status>;
type Held = VecDeque<Option<Frames>>;

/// What the server answers; `ended` hears how, once, and the end waits for what it returns.
pub(super) struct Answered<F: FnOnce(&Seen, Ending) -> Option<Concluded> + Unpin> {
    pub(super) inner: Body,
    pub(super) seen: Seen,
    pub(super) ended: Option<F>,
    /// The end, until it is on record.
    pub(super) waiting: Option<(Concluded, Option<Frames>)>,
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
        let room = SEEN_BYTES_MAX.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&data[..data.len().min(room)]);
    }

    pub(super) fn is_let_through(&self) -> bool {
        self.is_let_through
    }

    /// Whether the first message is there, or is longer than any that is taken.
    fn has_first(&self) -> bool {
        self.messages().next().is_some() || self.bytes.len() >= SEEN_BYTES_MAX
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
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (head, behind) = rest.split_first_chunk::<5>()?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let (message, next) = behind.split_at_checked(usize::try_from(length).ok()?)?;
            rest = next;
            Some(message)
        })
    }
}

impl Gate {
    pub(super) fn shut(intent: Intent) -> Self {
        Self::Shut(Some(intent), Held::new())
    }
}

impl Asked {
    fn poll_inner(&mut self, context: &mut Context<'_>) -> Poll<Option<Frames>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.seen.lock().add(data);
        }
        Poll::Ready(frame)
    }
}

impl HttpBody for Asked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Frames>> {
        loop {
            match &mut self.gate {
                Gate::Open => return self.poll_inner(context),
                Gate::Shut(..) => {
                    let frame = ready!(self.poll_inner(context));
                    let is_whole =
                        !matches!(&frame, Some(Ok(frame)) if frame.is_data()) || self.seen.lock().has_first();
                    let seen = Arc::clone(&self.seen);
                    let Gate::Shut(intent, held) = &mut self.gate else { continue };
                    held.push_back(frame);
                    if is_whole && let Some(intent) = intent.take() {
                        let recorded = intent(&seen.lock());
                        self.gate = Gate::Recording(recorded, std::mem::take(held));
                    }
                }
                Gate::Recording(recorded, held) => match ready!(recorded.poll_unpin(context)) {
                    Ok(()) => {
                        let held = std::mem::take(held);
                        self.seen.lock().is_let_through = true;
                        self.gate = Gate::Opened(held);
                    }
                    Err(unwritten) => {
                        self.gate = Gate::Refused;
                        return Poll::Ready(Some(Err(unwritten.into())));
                    }
                },
                Gate::Opened(held) => match held.pop_front() {
                    Some(frame) => return Poll::Ready(frame),
                    None => self.gate = Gate::Open,
                },
                Gate::Refused => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.gate, Gate::Open) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.gate {
            Gate::Open => self.inner.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl<F: FnOnce(&Seen, Ending) -> Option<Concluded> + Unpin> Answered<F> {
    fn end(&mut self, ending: Ending) -> Option<Concluded> {
        self.ended.take().and_then(|ended| ended(&self.seen, ending))
    }

    /// The end goes out when it is on record.
    fn end_with(&mut self, ending: Ending, frame: Option<Frames>) -> Option<Frames> {
        match self.end(ending) {
            Some(recorded) => {
                self.waiting = Some((recorded, frame));
                None
            }
            None => frame,
        }
    }
}

impl<F: FnOnce(&Seen, Ending) -> Option<Concluded> + Unpin> HttpBody for Answered<F> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Frames>> {
        if self.waiting.is_none() {
            let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
            let ending = match &frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.seen.add(data);
                    }
                    frame.trailers_ref().and_then(Status::from_header_map).map(Ending::Status)
                }
                Some(Err(status)) => Some(Ending::Status(status.clone())),
                None => Some(Ending::Canceled),
            };
            let Some(ending) = ending else { return Poll::Ready(frame) };
            let frame = self.end_with(ending, frame);
            if self.waiting.is_none() {
                return Poll::Ready(frame);
            }
        }
        let Some((recorded, frame)) = &mut self.waiting else { return Poll::Ready(None) };
        let outcome = ready!(recorded.poll_unpin(context));
        let frame = frame.take();
        self.waiting = None;
        Poll::Ready(match outcome {
            Ok(()) => frame,
            Err(status) => Some(trailers(&status)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<F: FnOnce(&Seen, Ending) -> Option<Concluded> + Unpin> Drop for Answered<F> {
    fn drop(&mut self) {
        // It goes on record all the same; there is nobody left who would wait for it.
        drop(self.end(Ending::Canceled));
    }
}

fn trailers(status: &Status) -> Frames {
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers)?;
    Ok(Frame::trailers(headers))
}

/// The largest message there is, with its frame. Of longer streams only the beginning counts.
const SEEN_BYTES_MAX: usize = (4 << 20) + 5;

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use tokio::sync::oneshot;
    use tonic::Code;

    use super::*;

    /// A message of two bytes.
    const FRAMED: &[u8] = b"\0\0\0\0\x02ab";

    fn unwritten() -> Unwritten {
        Unwritten { path: "/a/audit.log".into(), why: "no space left on device".to_owned() }
    }

    /// What a client sends, and the way to say that it is on record.
    fn asked() -> (Asked, oneshot::Sender<Result<(), Unwritten>>) {
        let (say, said) = oneshot::channel();
        let gate = Gate::shut(Box::new(|seen| {
            assert_eq!(seen.first(), b"ab");
            Box::pin(async move { said.await.expect("a word") })
        }));
        let inner = Body::new(Full::new(Bytes::from_static(FRAMED)));
        (Asked { inner, seen: Arc::default(), gate }, say)
    }

    #[tokio::test]
    async fn a_message_passes_once_it_is_on_record() {
        let (mut asked, say) = asked();
        assert!(futures::poll!(asked.frame()).is_pending());
        say.send(Ok(())).expect("somebody waits");
        let frame = asked.frame().await.expect("a frame").expect("a message");
        assert_eq!(frame.into_data().ok().as_deref(), Some(FRAMED));
        assert!(asked.frame().await.is_none() && asked.seen.lock().first() == b"ab");
        assert!(asked.seen.lock().is_let_through());
    }

    #[tokio::test]
    async fn a_message_that_cannot_be_put_on_record_is_seen_by_nobody() {
        let (mut asked, say) = asked();
        say.send(Err(unwritten())).expect("somebody waits");
        let status = asked.frame().await.expect("a frame").expect_err("no message");
        let text = "the call was refused before it had an effect: the audit record of this call cannot be written to \
                    /a/audit.log: no space left on device";
        assert_eq!((status.code(), status.message()), (Code::Unavailable, text));
        assert!(asked.frame().await.is_none() && !asked.seen.lock().is_let_through());
    }

    #[tokio::test]
    async fn an_answer_ends_once_it_is_on_record() {
        for recorded in [Ok(()), Err(unwritten().after_the_call())] {
            let frames = [Ok(Frame::data(Bytes::from_static(FRAMED))), trailers(&Status::ok(""))];
            let (say, said) = oneshot::channel();
            let ended = |seen: &Seen, ending: Ending| {
                assert!(seen.last() == b"ab" && matches!(ending, Ending::Status(status) if status.code() == Code::Ok));
                let concluded: Concluded = Box::pin(async move { said.await.expect("a word") });
                Some(concluded)
            };
            let inner = Body::new(StreamBody::new(stream::iter(frames)));
            let mut answered = Answered { inner, seen: Seen::default(), ended: Some(ended), waiting: None };
            assert!(answered.frame().await.expect("a frame").expect("a message").is_data());
            assert!(futures::poll!(answered.frame()).is_pending());
            let is_ok = recorded.is_ok();
            say.send(recorded).expect("somebody waits");
            let end = answered.frame().await.expect("a frame").expect("the end");
            let status = Status::from_header_map(end.trailers_ref().expect("trailers")).expect("a status");
            assert_eq!(status.code(), if is_ok { Code::Ok } else { Code::Unavailable }, "{status}");
            assert!(answered.frame().await.is_none());
        }
    }

    #[test]
    fn messages_are_found_in_frames() {
        let mut seen = Seen::default();
        for part in [&b"\0\0\0\0\x02a"[..], b"b\0\0\0\0\0", b"\0\0\0\0\x03cd"] {
            seen.add(part);
        }
        assert_eq!(seen.messages().collect::<Vec<_>>(), [&b"ab"[..], b""], "the last one is not whole");
        assert_eq!((seen.first(), seen.last()), (&b"ab"[..], &b""[..]));
        seen.add(&vec![0; SEEN_BYTES_MAX]);
        assert_eq!(seen.bytes.len(), SEEN_BYTES_MAX);
        assert_eq!(Seen::default().first(), b"");
    }
}
