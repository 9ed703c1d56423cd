//! The PROXY protocol: a load balancer that passes TCP through says, before TLS begins, whom it speaks for.
//!
//! ```text
//!   from a trusted proxy:   [header] TLS ...   the header's address is the peer's; without one the proxy's own
//!   from anyone else:       TLS ...            a header ends the connection
//! ```
//!
//! <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>, versions 1 and 2.

mod header;
mod read;

pub use header::{ProxyError, parse_v1, parse_v2};
pub use read::TrustedProxies;
