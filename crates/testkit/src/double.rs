//! As much of an HTTP/1.1 server as a double needs: one request on a connection, and answers that no honest server
//! gives.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;

/// Says, in the output of the test that started it, what a double stands in for. `cargo xtask test` counts a test that
/// says so apart from those against the real thing.
pub fn announce_double(of: &str) {
    println!("double: {of}");
}

/// What a double says to a request.
#[derive(Clone, Debug)]
pub enum DoubleAnswer {
    /// 200 with this JSON.
    Json(String),
    Status(u16, String),
    /// Nothing at all; the connection stays open.
    Hang,
    /// 200 and bytes without end, up to this many.
    Endless(u64),
    /// What is not HTTP.
    Garbage,
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub path: String,
    pub authorization: Option<String>,
    /// Of services with a header of their own for it.
    pub vault_token: Option<String>,
    pub body: Vec<u8>,
}

/// Requests in the order in which they came, for tests that count them and wait for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    inner: Arc<LedgerInner>,
}

#[derive(Debug, Default)]
struct LedgerInner {
    paths: Mutex<VecDeque<String>>,
    came: Notify,
}

impl Ledger {
    pub(crate) fn note(&self, path: &str) {
        locked(&self.inner.paths).push_back(path.to_owned());
        self.inner.came.notify_waiters();
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        locked(&self.inner.paths).iter().cloned().collect()
    }

    /// Waits until `count` requests have come.
    pub(crate) async fn reaches(&self, count: usize) {
        loop {
            let came = self.inner.came.notified();
            if locked(&self.inner.paths).len() >= count {
                return;
            }
            came.await;
        }
    }
}

/// A test that panicked elsewhere must not hide its own message behind this one.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the one request, whose body says its length if it has one.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.split("\r\n");
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim().to_owned())
    };
    let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; usize::min(length, BODY_BYTES_MAX)];
    stream.read_exact(&mut body).await?;
    let (authorization, vault_token) = (header("authorization"), header("x-vault-token"));
    Ok(Asked { path, authorization, vault_token, body })
}

const BODY_BYTES_MAX: usize = 64 * 1024;

pub(crate) async fn answer(stream: &mut (impl AsyncWrite + Unpin), with: &DoubleAnswer) -> io::Result<()> {
    match with {
        DoubleAnswer::Json(body) => whole(stream, 200, body).await,
        DoubleAnswer::Status(status, body) => whole(stream, *status, body).await,
        DoubleAnswer::Garbage => stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\0\0\0\0\r\n\r\n").await,
        DoubleAnswer::Endless(bytes) => endless(stream, *bytes).await,
        DoubleAnswer::Hang => std::future::pending().await,
    }
}

async fn whole(stream: &mut (impl AsyncWrite + Unpin), status: u16, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.flush().await?;
    stream.shutdown().await
}

async fn endless(stream: &mut (impl AsyncWrite + Unpin), bytes: u64) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"items\": [\"").await?;
    let chunk = [b'x'; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        stream.write_all(&chunk).await?;
        left = left.saturating_sub(chunk.len() as u64);
    }
    stream.shutdown().await
}
