//! Request messages in gRPC's framing (gRPC over HTTP/2, "Length-Prefixed-Message"): bounded, and gzip undone, before a
//! service sees them. tonic could do either, but not in the words and codes of gRPC's Go server, which clients know.

use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use tonic::Status;
use tower::BoxError;

use super::MESSAGE_BYTES_MAX;
use super::room::{Place, Share};

/// How the messages of a request may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    /// Takes `grpc-encoding` out of `headers`: behind [`Messages`] nothing is compressed.
    pub(super) fn take(headers: &mut HeaderMap) -> Result<Self, Status> {
        match headers.remove("grpc-encoding").as_ref().map(|name| name.as_bytes()) {
            None | Some(b"" | b"identity") => Ok(Self::Identity),
            Some(b"gzip") => Ok(Self::Gzip),
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                let text = format!("grpc: Decompressor is not installed for grpc-encoding {other:?}");
                Err(Status::unimplemented(text))
            }
        }
    }
}

pin_project! {
    /// A request body whose messages keep to [`MESSAGE_BYTES_MAX`] and are not compressed. One that does not end needs
    /// room as long as it has not.
    pub(super) struct Messages<B> {
        #[pin]
        inner: B,
        framing: Framing,
        share: Share,
        place: Option<Place>,
    }
}

impl<B> Messages<B> {
    pub(super) fn new(inner: B, encoding: Encoding, share: Share) -> Self {
        let framing = Framing { encoding, held: BytesMut::new(), passed: 0, passing: 0 };
        Self { inner, framing, share, place: None }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for Messages<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        loop {
            let next = this.framing.next()?;
            this.share.hold(this.place, this.framing.unfinished(next.is_some()))?;
            if let Some(bytes) = next {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if let Some(place) = this.place
                && let Poll::Ready(status) = place.poll_lost(context)
            {
                *this.place = None;
                return Poll::Ready(Some(Err(status.into())));
            }
            match ready!(this.inner.as_mut().poll_frame(context)).transpose().map_err(Into::into)? {
                Some(frame) => match frame.into_data() {
                    Ok(data) => this.framing.held.extend_from_slice(&data),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                // What is left of a message that did not end is for the service to refuse.
                None => {
                    let rest = std::mem::take(&mut this.framing.held);
                    return Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest.freeze()))));
                }
            }
        }
    }
}

struct Framing {
    encoding: Encoding,
    /// Received and not passed on: one frame of HTTP/2, or one compressed message.
    held: BytesMut,
    /// What was passed on of a message that passes as it is, and what is to come, bytes.
    passed: usize,
    passing: usize,
}

impl Framing {
    /// What can be passed on of what is held.
    fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if self.passing == 0 {
            let Some([flag, length @ ..]) = self.held.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
            let length = u32::from_be_bytes(*length) as usize;
            if length > MESSAGE_BYTES_MAX {
                let text = format!("grpc: received message larger than max ({length} vs. {MESSAGE_BYTES_MAX})");
                return Err(Status::resource_exhausted(text));
            }
            match (flag, self.encoding) {
                (0, _) => (self.passed, self.passing) = (0, HEAD_BYTES + length),
                (1, Encoding::Gzip) => return self.inflated(length),
                (1, Encoding::Identity) => {
                    return Err(Status::internal("grpc: compressed flag set with identity or empty encoding"));
                }
                (other, _) => {
                    return Err(Status::internal(format!("grpc: received unexpected payload format {other}")));
                }
            }
        }
        let now = self.passing.min(self.held.len());
        self.passed += now;
        self.passing -= now;
        Ok((now > 0).then(|| self.held.split_to(now).freeze()))
    }

    /// What has come of a message that has not come whole, bytes, here or where it was passed on to.
    fn unfinished(&self, passing_on: bool) -> usize {
        match self.passing {
            0 if passing_on || self.held.len() < HEAD_BYTES => 0,
            0 => self.held.len(),
            _ => self.passed,
        }
    }

    /// The next message, `length` bytes compressed, once all of it is there.
    fn inflated(&mut self, length: usize) -> Result<Option<Bytes>, Status> {
        if self.held.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.held.advance(HEAD_BYTES);
        let mut framed = vec![0; HEAD_BYTES];
        let compressed = self.held.split_to(length);
        MultiGzDecoder::new(compressed.as_ref())
            .take(MESSAGE_BYTES_MAX as u64 + 1)
            .read_to_end(&mut framed)
            .map_err(|error| Status::internal(format!("grpc: failed to decompress the received message: {error}")))?;
        let inflated = framed.len() - HEAD_BYTES;
        if inflated > MESSAGE_BYTES_MAX {
            let text = format!("grpc: received message after decompression larger than max {MESSAGE_BYTES_MAX}");
            return Err(Status::resource_exhausted(text));
        }
        framed[1..HEAD_BYTES].copy_from_slice(&(inflated as u32).to_be_bytes());
        Ok(Some(framed.into()))
    }
}

/// A flag and four bytes of length.
const HEAD_BYTES: usize = 5;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http_body_util::{BodyExt as _, StreamBody};
    use proptest::prelude::*;
    use tonic::Code;

    use super::super::room::Room;
    use super::*;

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        [&[flag][..], &(message.len() as u32).to_be_bytes(), message].concat()
    }

    fn gzip(message: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(message).unwrap();
        encoder.finish().unwrap()
    }

    /// What a service sees of `body`, received in pieces of `piece` bytes.
    async fn seen(body: &[u8], piece: usize, encoding: Encoding) -> Result<Vec<u8>, Status> {
        let frames: Vec<_> =
            body.chunks(piece).map(|piece| Ok::<_, BoxError>(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let share = Room::new(MESSAGE_BYTES_MAX).share();
        let messages = Messages::new(StreamBody::new(futures::stream::iter(frames)), encoding, share);
        match messages.collect().await {
            Ok(whole) => Ok(whole.to_bytes().to_vec()),
            Err(error) => Err(Status::from_error(error)),
        }
    }

    #[tokio::test]
    async fn refusals_are_those_of_grpc_go() {
        let large = MESSAGE_BYTES_MAX + 1;
        let bomb = gzip(&vec![0; large]);
        let cases = [
            (
                [&[0][..], &(large as u32).to_be_bytes()].concat(),
                Code::ResourceExhausted,
                "grpc: received message larger than max (4194305 vs. 4194304)",
            ),
            (
                framed(1, &bomb),
                Code::ResourceExhausted,
                "grpc: received message after decompression larger than max 4194304",
            ),
            (framed(7, b""), Code::Internal, "grpc: received unexpected payload format 7"),
        ];
        for (body, code, text) in cases {
            let status = seen(&body, 1000, Encoding::Gzip).await.unwrap_err();
            assert_eq!((status.code(), status.message()), (code, text));
        }
        let status = seen(&framed(1, &gzip(b"x")), 1000, Encoding::Identity).await.unwrap_err();
        let text = "grpc: compressed flag set with identity or empty encoding";
        assert_eq!((status.code(), status.message()), (Code::Internal, text));
        let status = seen(&framed(1, b"no gzip"), 1000, Encoding::Gzip).await.unwrap_err();
        assert!(status.message().starts_with("grpc: failed to decompress the received message: "), "{status}");
    }

    /// Whether compressed or not, what has come of it counts, and no longer than it takes.
    #[tokio::test]
    async fn a_message_that_does_not_end_needs_room() {
        let (room, message) = (Room::new(1000), framed(0, &[7; 600]));
        let noise: Vec<u8> = (0_u32..600).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (encoding, message) in [(Encoding::Identity, message), (Encoding::Gzip, framed(1, &gzip(&noise)))] {
            let begun = || {
                let (send, frames) = futures::channel::mpsc::unbounded();
                let body = StreamBody::new(frames);
                let (first, last) = message.split_at(message.len() - 1);
                let data = |bytes: &[u8]| Ok::<_, BoxError>(Frame::data(Bytes::copy_from_slice(bytes)));
                send.unbounded_send(data(first)).unwrap();
                (Box::pin(Messages::new(body, encoding, room.share()).collect()), send, data(last))
            };
            let (mut first, send, last) = begun();
            assert!(futures::poll!(&mut first).is_pending());
            let (mut second, _open, _) = begun();
            let refused = futures::poll!(&mut second);
            let Poll::Ready(Err(error)) = refused else { panic!("there is no room for two") };
            assert_eq!(Status::from_error(error).code(), Code::ResourceExhausted);
            send.unbounded_send(last).unwrap();
            drop(send);
            assert!(first.await.is_ok());
        }
    }

    #[test]
    fn encodings_are_taken_out_of_the_headers() {
        let headers = |name: &str| HeaderMap::from_iter([("grpc-encoding".parse().unwrap(), name.parse().unwrap())]);
        let mut gzip = headers("gzip");
        assert_eq!(Encoding::take(&mut gzip).unwrap(), Encoding::Gzip);
        assert!(gzip.is_empty());
        for none in [HeaderMap::new(), headers("identity")] {
            assert_eq!(Encoding::take(&mut none.clone()).unwrap(), Encoding::Identity);
        }
        let status = Encoding::take(&mut headers("zstd")).unwrap_err();
        let text = "grpc: Decompressor is not installed for grpc-encoding \"zstd\"";
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, text));
    }

    proptest! {
        /// However a request is cut and whichever of its messages are compressed, a service sees the messages.
        #[test]
        fn messages_pass_whole(
            messages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..6),
            piece in 1_usize..400,
        ) {
            let sent: Vec<u8> = messages
                .iter()
                .flat_map(|(zipped, message)| if *zipped { framed(1, &gzip(message)) } else { framed(0, message) })
                .collect();
            let plain: Vec<u8> = messages.iter().flat_map(|(_, message)| framed(0, message)).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert_eq!(runtime.block_on(seen(&sent, piece, Encoding::Gzip)).unwrap(), plain);
        }
    }
}
