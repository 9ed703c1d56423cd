//! Reading a header off a connection, and not a byte more.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::{self, AsyncReadExt as _};
use tokio::net::TcpStream;

use super::header::{ProxyError, V1_BYTES_MAX, V2_HEAD_BYTES, parse_v1, parse_v2, v2_length};

/// Who may send PROXY headers. By default the protocol is off: nobody is asked, and a header is no TLS.
#[derive(Clone, Default)]
pub struct TrustedProxies(Option<Arc<dyn Fn(IpAddr) -> bool + Send + Sync>>);

impl TrustedProxies {
    /// `is_trusted` is asked for the address of each connection; IPv4 addresses come as such, not mapped into IPv6.
    pub fn where_true(is_trusted: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_trusted)))
    }

    /// Whom `stream` comes from. Its next byte is the first one of TLS.
    pub async fn source(&self, stream: &mut TcpStream, remote_addr: SocketAddr) -> io::Result<SocketAddr> {
        let Some(is_trusted) = &self.0 else { return Ok(remote_addr) };
        let mut first = [0];
        stream.peek(&mut first).await?;
        // A TLS record begins with its type, 22.
        let version = match first[0] {
            b'P' => 1,
            b'\r' => 2,
            _ => return Ok(remote_addr),
        };
        if !is_trusted(remote_addr.ip().to_canonical()) {
            return Err(invalid(ProxyError::Untrusted));
        }
        let said = if version == 1 { read_v1(stream).await? } else { read_v2(stream).await? };
        Ok(said.unwrap_or(remote_addr))
    }
}

/// Takes what is there up to the line's end, and waits for more.
async fn read_v1(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut line = [0; V1_BYTES_MAX];
    let mut length = 0;
    while length < V1_BYTES_MAX {
        let there = stream.peek(&mut line[length..]).await?;
        if there == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = line[length..length + there].iter().position(|byte| *byte == b'\n');
        let take = end.map_or(there, |end| end + 1);
        stream.read_exact(&mut line[length..length + take]).await?;
        length += take;
        if end.is_some() {
            return parse_v1(&line[..length]).map_err(invalid);
        }
    }
    Err(invalid(ProxyError::Malformed("version 1 is too long")))
}

async fn read_v2(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut head = [0; V2_HEAD_BYTES];
    stream.read_exact(&mut head).await?;
    let mut rest = vec![0; v2_length(&head).map_err(invalid)?];
    stream.read_exact(&mut rest).await?;
    parse_v2(&head, &rest).map_err(invalid)
}

fn invalid(error: ProxyError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "TrustedProxies(some)" } else { "TrustedProxies(none)" })
    }
}
