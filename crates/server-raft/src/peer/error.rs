//! What can go wrong on the peer port, for the person who starts a replica.

use std::io;
use std::net::SocketAddr;

use super::{AuthorityError, JoinError};

#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("cannot listen for peers on {address}: {source}; free the port or set cluster.peer_bind_port")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("peer certificate authority: {0}")]
    Authority(#[from] AuthorityError),
    #[error("TLS between peers cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("this replica could not join: {0}")]
    Join(#[from] JoinError),
}
