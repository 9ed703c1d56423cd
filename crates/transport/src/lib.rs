//! Who is on the other end of the wire, and how bytes get there.
//!
//! ```text
//!   TCP ── tls::Acceptor ── TlsConnection{TlsPeer} ──┐
//!                                                    ├── serve ── any gRPC service; the peer is in the extensions
//!   UDS ── uds::UdsListener ── UdsConnection{UdsPeer} ┘
//!              └─ authority: makes socket paths in `:authority` palatable to h2
//!
//!   client ── dial one of several addresses ── tls::ServerIdVerifier ── HTTP/2 channel
//! ```
//!
//! TLS looks at a certificate at the handshake only. Bans and expiry are the business of whoever authorizes a request,
//! which is why connections have an age limit.

pub mod authority;
mod causes;
pub mod client;
pub mod limit;
pub mod places;
pub mod proxy;
pub mod serve;
pub mod tls;
pub mod uds;

pub use causes::with_causes;
