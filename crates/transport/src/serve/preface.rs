//! The first bytes of an HTTP/2 client, waited for with a limit: hyper would wait for them for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;

/// Why a connection is no HTTP/2 connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrefaceError {
    #[error("client closed the connection: {0}")]
    Io(#[from] io::Error),
    #[error("client does not speak HTTP/2")]
    NotHttp2,
    #[error("client said nothing for {0:?}")]
    Timeout(Duration),
}

/// A connection whose preface was read; it gives the preface out once more.
#[derive(Debug)]
pub(super) struct Prefaced<IO> {
    io: IO,
    preface: &'static [u8],
}

impl<IO: AsyncRead + Unpin> Prefaced<IO> {
    pub(super) async fn read(mut io: IO, limit: Duration) -> Result<Self, PrefaceError> {
        let mut preface = [0; PREFACE.len()];
        timeout(limit, io.read_exact(&mut preface)).await.map_err(|_| PrefaceError::Timeout(limit))??;
        if preface == *PREFACE { Ok(Self { io, preface: PREFACE }) } else { Err(PrefaceError::NotHttp2) }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Prefaced<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.preface.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let (now, later) = self.preface.split_at(self.preface.len().min(buf.remaining()));
        buf.put_slice(now);
        self.preface = later;
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Prefaced<IO> {
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

/// RFC 9113, section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
