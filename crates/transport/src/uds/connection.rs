//! An accepted Unix socket connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tonic::transport::server::Connected;

use super::UdsPeer;
use crate::authority::AuthorityStream;
use crate::limit::ConnectionSlot;

/// Bytes of one client, with socket paths in `:authority` already made palatable to h2.
#[derive(Debug)]
pub struct UdsConnection {
    stream: AuthorityStream<UnixStream>,
    peer: UdsPeer,
    _slot: Option<ConnectionSlot<u32>>,
}

impl UdsConnection {
    pub(super) fn new(stream: UnixStream, peer: UdsPeer, slot: Option<ConnectionSlot<u32>>) -> Self {
        Self { stream: AuthorityStream::new(stream), peer, _slot: slot }
    }

    pub fn peer(&self) -> &UdsPeer {
        &self.peer
    }
}

impl Connected for UdsConnection {
    type ConnectInfo = UdsPeer;

    fn connect_info(&self) -> UdsPeer {
        self.peer.clone()
    }
}

impl AsyncRead for UdsConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for UdsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
