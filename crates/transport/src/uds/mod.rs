//! Unix domain sockets: bound without a gap, and accepted together with who is on the other end.

mod connection;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod listener;
mod peer;
mod proc_files;

pub use connection::UdsConnection;
pub use listener::{BindError, BindModes, UdsAcceptor, UdsLimits, UdsListener};
pub use peer::{PeerError, PeerTracking, PeerWatch, UdsPeer};
