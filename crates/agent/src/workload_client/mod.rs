//! The other side of the Workload API: what the command line, spiffe-helper and the bootstrap have in common as its
//! clients.

mod channel;
mod stream;
mod svids;

pub use channel::channel;
pub use stream::{first, watch};
pub use svids::{Certificate, Svid, Svids, SvidsError, parse, parse_verified};
