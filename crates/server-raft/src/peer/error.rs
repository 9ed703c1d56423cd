//! What can go wrong on the peer port, for the person who starts a replica.

use std::io;
use std::net::SocketAddr;

use super::{AuthorityError, JoinError};
use crate::seal::ServerSealed;

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
    #[error("this replica answers its peers and calls none until it is unsealed")]
    OnlyAnswers,
    #[error(transparent)]
    Sealed(#[from] ServerSealed),
    #[error("the certificate kept for a sealed start: {0}")]
    Storage(#[from] steeple_storage::StorageError),
}
