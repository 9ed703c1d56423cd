//! Datagrams to whoever collects metrics.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

/// `host:port`, or `:port` for this host, as Go reads it. `kind` names the receiver in the refusal.
pub(super) fn host_port(kind: &str, address: String) -> io::Result<String> {
    match address.rsplit_once(':') {
        Some(("", port)) if port.parse::<u16>().is_ok() => Ok(format!("localhost:{port}")),
        Some((_, port)) if port.parse::<u16>().is_ok() => Ok(address),
        _ => {
            let why = format!("telemetry: the address {address:?} of {kind} receiver is not host:port");
            Err(io::Error::new(io::ErrorKind::InvalidInput, why))
        }
    }
}

/// The other end: looked up anew after a failure, and not more often than now and then.
pub(super) struct Peer {
    address: String,
    socket: Option<UdpSocket>,
    failed_at: Option<Instant>,
}

impl Peer {
    pub(super) fn new(address: String) -> Self {
        Self { address, socket: None, failed_at: None }
    }

    /// Empty packets are not sent.
    pub(super) fn send(&mut self, packet: &[u8]) {
        if packet.is_empty() {
            return;
        }
        if let Some(socket) = self.socket()
            && let Err(error) = socket.send(packet)
            // Nobody listens yet: the address is right.
            && error.kind() != io::ErrorKind::ConnectionRefused
        {
            self.failed(&error);
        }
    }

    fn socket(&mut self) -> Option<&UdpSocket> {
        if self.socket.is_none() && self.failed_at.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
            match connect(&self.address) {
                Ok(socket) => self.socket = Some(socket),
                Err(error) => self.failed(&error),
            }
        }
        self.socket.as_ref()
    }

    fn failed(&mut self, error: &io::Error) {
        tracing::warn!(address = self.address, %error, "cannot send metrics");
        self.socket = None;
        self.failed_at = Some(Instant::now());
    }
}

/// Receivers on `localhost` listen on IPv4, most of them on nothing else.
fn connect(address: &str) -> io::Result<UdpSocket> {
    let found = address.to_socket_addrs()?.min_by_key(SocketAddr::is_ipv6);
    let peer = found.ok_or_else(|| io::Error::other("the name has no address"))?;
    let any: IpAddr = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    Ok(socket)
}

/// That of go-metrics: what passes every network in one piece.
pub(super) const PACKET_BYTES_MAX: usize = 1400;
/// Before a name is looked up again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
