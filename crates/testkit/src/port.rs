//! Ports for servers that are killed and come back.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::bail;
use tokio::net::TcpSocket;

/// Below the range from which the kernel takes the ports of outgoing connections: no client can sit on the port while
/// its server is down.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A TCP port on loopback that no other harness takes, in this process or another: holding the UDP port of the same
/// number is the reservation.
#[derive(Debug)]
pub struct Port {
    number: u16,
    host: Ipv4Addr,
    _reservation: UdpSocket,
}

impl Port {
    pub fn reserve() -> anyhow::Result<Self> {
        // Processes that start together begin at different places.
        let begin = std::process::id().wrapping_mul(37) as u16;
        for _ in 0..COUNT {
            let number = FIRST + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let Ok(reservation) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else { continue };
            if try_out(number).is_ok() {
                return Ok(Self { number, host: Ipv4Addr::LOCALHOST, _reservation: reservation });
            }
        }
        bail!("no free port on 127.0.0.1 from {FIRST} to {}", FIRST + COUNT - 1)
    }

    /// The same number at another address, which may be one in another network namespace.
    pub fn on(self, host: Ipv4Addr) -> Self {
        Self { host, ..self }
    }

    pub fn host(&self) -> Ipv4Addr {
        self.host
    }

    pub fn number(&self) -> u16 {
        self.number
    }

    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.number)
    }
}

/// Whether a server could listen there. Without listening: a child that another test forks in this moment holds the
/// socket until its exec, and a socket that listens would keep the server away from the port.
fn try_out(number: u16) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let port = Port::reserve().unwrap();
        try_out(port.number()).unwrap();
        let listener = std::net::TcpListener::bind(port.address()).unwrap();
        assert_eq!(try_out(port.number()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
    }
}
