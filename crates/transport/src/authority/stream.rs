//! The rewriter as a byte stream: reads are judged in place, writes are left alone.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::rewriter::{Rewriter, Step};

/// What a server reads from here has no `:authority` that h2 would refuse.
///
/// Holds memory only while a header block is incomplete or replaced; an idle connection holds none.
#[derive(Debug)]
pub struct AuthorityStream<IO> {
    io: IO,
    rewriter: Rewriter,
    /// Came from the client, not judged yet: part of a frame head or of a header block.
    held: BytesMut,
    /// Judged, on its way to the server.
    cleared: BytesMut,
    at_end: bool,
}

impl<IO> AuthorityStream<IO> {
    pub fn new(io: IO) -> Self {
        Self { io, rewriter: Rewriter::new(), held: BytesMut::new(), cleared: BytesMut::new(), at_end: false }
    }

    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    fn judge_held(&mut self) -> io::Result<()> {
        let Step { pass, replace } = self.rewriter.step(&self.held).map_err(invalid_data)?;
        self.cleared = self.held.split_to(pass);
        if let Some(replace) = replace {
            self.held.advance(replace.consumed);
            self.cleared.extend_from_slice(&replace.with);
        }
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
        Ok(())
    }

    /// Fresh bytes stand in `buf` from `start` on. Leaves there what may pass and takes the rest out.
    fn judge_fresh(&mut self, buf: &mut ReadBuf<'_>, start: usize) -> io::Result<()> {
        let fresh = &buf.filled()[start..];
        let Step { pass, replace } = self.rewriter.step(fresh).map_err(invalid_data)?;
        let mut rest = pass;
        if let Some(replace) = replace {
            self.cleared.extend_from_slice(&replace.with);
            rest += replace.consumed;
        }
        self.held.extend_from_slice(&fresh[rest..]);
        buf.set_filled(start + pass);
        Ok(())
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for AuthorityStream<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let start = buf.filled().len();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if !this.cleared.is_empty() {
                let bytes = this.cleared.len().min(buf.remaining());
                buf.put_slice(&this.cleared[..bytes]);
                this.cleared.advance(bytes);
                if this.cleared.is_empty() {
                    // Gives the memory back: most connections are idle for hours after this.
                    this.cleared = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            if !this.held.is_empty() {
                this.judge_held()?;
                if !this.cleared.is_empty() {
                    continue;
                }
            }
            if this.at_end {
                return Poll::Ready(Ok(()));
            }
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
            if buf.filled().len() == start {
                // A frame cut short is for h2 to complain about.
                this.at_end = true;
                this.cleared = this.held.split();
            } else if this.held.is_empty() {
                this.judge_fresh(buf, start)?;
                if buf.filled().len() > start {
                    return Poll::Ready(Ok(()));
                }
            } else {
                this.held.extend_from_slice(&buf.filled()[start..]);
                buf.set_filled(start);
            }
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for AuthorityStream<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn invalid_data(error: super::AuthorityError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use http::{HeaderName, HeaderValue, Request, Response};
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// Gives at most `step` bytes at a time.
    struct Dribble<IO> {
        io: IO,
        step: usize,
    }

    impl<IO: AsyncRead + Unpin> AsyncRead for Dribble<IO> {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let this = &mut *self;
            let mut part = vec![0; this.step.min(buf.remaining())];
            let mut part = ReadBuf::new(&mut part);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut part))?;
            buf.put_slice(part.filled());
            Poll::Ready(Ok(()))
        }
    }

    impl<IO: AsyncWrite + Unpin> AsyncWrite for Dribble<IO> {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.io).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_shutdown(cx)
        }
    }

    type Headers = Vec<(String, String)>;

    /// Sends one request per header list from h2's client to h2's server through an adaptor, and returns what arrived.
    async fn through_h2(requests: Vec<Headers>, rewriter: Rewriter, step: usize) -> Vec<Headers> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let mut adaptor = AuthorityStream::new(Dribble { io: far, step });
        adaptor.rewriter = rewriter;
        let server = async move {
            let mut connection = h2::server::handshake(adaptor).await.unwrap();
            let mut arrived = Vec::new();
            while let Some(accepted) = connection.accept().await {
                let (request, mut respond) = accepted.unwrap();
                assert_eq!(request.uri().authority().unwrap(), "example.org");
                let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
                arrived.push(request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect());
                respond.send_response(Response::new(()), true).unwrap();
            }
            arrived
        };
        let client = async move {
            let (mut sender, connection) = h2::client::handshake(near).await.unwrap();
            let driver = tokio::spawn(connection);
            for headers in requests {
                let mut request = Request::post("https://example.org/a.B/C").body(()).unwrap();
                for (name, value) in headers {
                    let name = HeaderName::try_from(name).unwrap();
                    request.headers_mut().append(name, HeaderValue::try_from(value).unwrap());
                }
                sender = sender.ready().await.unwrap();
                let (response, _) = sender.send_request(request, true).unwrap();
                response.await.unwrap();
            }
            drop(sender);
            let _ = driver.await;
        };
        tokio::join!(server, client).0
    }

    fn sorted(mut headers: Headers) -> Headers {
        // A header map groups equal names; order between names is not kept by it either.
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        headers
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn header_lists() -> impl Strategy<Value = Vec<Headers>> {
        // Few names and values, so that the client's table is used, shrunk and overrun; some long values to evict.
        let value =
            prop_oneof!["[ -~]{0,20}", "[a-c]{1,2}", "[a-z]{900,1500}"].prop_map(|value| value.trim().to_owned());
        let header = ("x-[a-d]|user-agent|grpc-timeout|te-[a-z]{1,30}", value);
        proptest::collection::vec(proptest::collection::vec(header, 0..6), 1..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// h2's own encoder (Huffman, dynamic table) is the reference for our decoder, its decoder for our encoder.
        #[test]
        fn every_header_survives_rewriting(requests in header_lists(), step in 1_usize..5000) {
            let arrived = block_on(through_h2(requests.clone(), Rewriter::rewriting(), step));
            prop_assert_eq!(arrived.len(), requests.len());
            for (arrived, sent) in arrived.into_iter().zip(requests) {
                prop_assert_eq!(sorted(arrived), sorted(sent));
            }
        }

        #[test]
        fn every_header_survives_watching(requests in header_lists(), step in 1_usize..5000) {
            let arrived = block_on(through_h2(requests.clone(), Rewriter::new(), step));
            for (arrived, sent) in arrived.into_iter().zip(requests) {
                prop_assert_eq!(sorted(arrived), sorted(sent));
            }
        }

        /// Without a refused authority the adaptor is invisible, whatever the client sends and however it arrives.
        #[test]
        fn other_bytes_pass_unchanged(
            frames in proptest::collection::vec(
                (0_u8..12, any::<u8>(), 0_u32..4, proptest::collection::vec(any::<u8>(), 0..300)),
                0..8,
            ),
            cut in any::<prop::sample::Index>(),
            step in 1_usize..400,
        ) {
            let mut sent = super::super::rewriter::PREFACE.to_vec();
            for (kind, flags, stream, payload) in frames {
                sent.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
                sent.extend([kind, flags]);
                sent.extend(stream.to_be_bytes());
                sent.extend(payload);
            }
            sent.truncate(cut.index(sent.len() + 1));
            let received = block_on(async {
                let mut received = Vec::new();
                let mut stream = AuthorityStream::new(Dribble { io: io::Cursor::new(sent.clone()), step });
                stream.read_to_end(&mut received).await.map(|_| received)
            });
            // Random bytes may decode to a huge list or a bad authority, by a chance that is not worth modelling.
            if let Ok(received) = received && !received.windows(9).any(|window| window == b"localhost") {
                prop_assert_eq!(received, sent);
            }
        }
    }

    /// A decoded list may be thousands of times larger than its block.
    #[tokio::test]
    async fn a_header_bomb_ends_the_connection() {
        let mut block = vec![0x40, 1, b'a', 0x7f, 0x80 | (4000 - 127) as u8 & 0x7f, ((4000 - 127) >> 7) as u8];
        block.extend([b'x'; 4000]);
        block.extend([0xbe; 1000]);
        let mut sent = super::super::rewriter::PREFACE.to_vec();
        sent.extend_from_slice(&(block.len() as u32).to_be_bytes()[1..]);
        sent.extend([1, 4, 0, 0, 0, 1]);
        sent.extend(block);
        let error = AuthorityStream::new(io::Cursor::new(sent)).read_to_end(&mut Vec::new()).await.unwrap_err();
        let error = error.get_ref().unwrap().downcast_ref::<super::super::AuthorityError>();
        assert_eq!(error, Some(&super::super::AuthorityError::HeaderListTooLarge));
    }

    #[tokio::test]
    async fn an_endless_header_block_ends_the_connection() {
        let mut sent = super::super::rewriter::PREFACE.to_vec();
        sent.extend([1, 0, 0, 1, 4, 0, 0, 0, 1]);
        let error = AuthorityStream::new(io::Cursor::new(sent)).read_to_end(&mut Vec::new()).await.unwrap_err();
        let error = error.get_ref().unwrap().downcast_ref::<super::super::AuthorityError>();
        assert_eq!(error, Some(&super::super::AuthorityError::HeaderBlockTooLarge));
    }

    #[tokio::test]
    async fn an_idle_connection_holds_no_memory() {
        let mut sent = super::super::rewriter::PREFACE.to_vec();
        sent.extend(*b"\0\0\x0c\x01\x04\0\0\0\x01\x83\x86\x84\x41\x07/socket");
        let mut stream = AuthorityStream::new(Dribble { io: io::Cursor::new(sent), step: 7 });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        assert!(received.ends_with(b"localhost"));
        assert_eq!((stream.held.capacity(), stream.cleared.capacity()), (0, 0));
    }
}
