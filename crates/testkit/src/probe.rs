//! HTTP as a prober or a scraper speaks it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, ToSocketAddrs};

/// The status and the text that a `GET` of `path` has; `None` when nobody answers.
pub async fn probe(port: u16, path: &str) -> Option<(u16, String)> {
    probe_at(("127.0.0.1", port), path).await
}

/// As [`probe`], elsewhere.
pub async fn probe_at(address: impl ToSocketAddrs, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Some((answer.split(' ').nth(1)?.parse().ok()?, answer))
}
