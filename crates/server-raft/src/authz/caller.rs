//! Who is calling, as the connection tells.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Extensions;
use steeple_core::SpiffeId;
use steeple_transport::tls::{PeerIdentity, TlsPeer};
use steeple_transport::uds::UdsPeer;
use tonic::Status;

#[derive(Clone, Debug)]
pub struct Caller {
    pub transport: Transport,
    /// From the client certificate; none on the admin socket and for anonymous callers.
    pub id: Option<SpiffeId>,
}

#[derive(Clone, Debug)]
pub enum Transport {
    /// The API port. `identity` is there if the client sent a certificate.
    Tcp { remote_addr: SocketAddr, identity: Option<Arc<PeerIdentity>> },
    /// The admin socket, whose permissions are the check.
    Uds { uid: u32, gid: u32, pid: u32 },
}

impl Caller {
    /// From the connect info that the transport leaves in every request.
    pub fn of(extensions: &Extensions) -> Result<Self, Status> {
        if let Some(peer) = extensions.get::<TlsPeer>() {
            let id = match peer.identity.as_deref().map(|identity| &identity.spiffe_id) {
                None => None,
                Some(Ok(id)) => Some(id.clone()),
                Some(Err(error)) => return Err(Status::unauthenticated(error.to_string())),
            };
            let transport = Transport::Tcp { remote_addr: peer.remote_addr, identity: peer.identity.clone() };
            return Ok(Self { transport, id });
        }
        if let Some(peer) = extensions.get::<UdsPeer>() {
            let transport = Transport::Uds { uid: peer.uid, gid: peer.gid, pid: peer.pid };
            return Ok(Self { transport, id: None });
        }
        Err(Status::internal("the connection carries no caller"))
    }

    pub fn is_local(&self) -> bool {
        matches!(self.transport, Transport::Uds { .. })
    }

    pub fn identity(&self) -> Option<&PeerIdentity> {
        match &self.transport {
            Transport::Tcp { identity, .. } => identity.as_deref(),
            Transport::Uds { .. } => None,
        }
    }

    pub fn remote_addr(&self) -> Option<SocketAddr> {
        match self.transport {
            Transport::Tcp { remote_addr, .. } => Some(remote_addr),
            Transport::Uds { .. } => None,
        }
    }

    /// For the log's reader: the SPIFFE ID, or how the caller came in.
    pub fn actor(&self) -> String {
        match (&self.id, self.is_local()) {
            (Some(id), _) => id.to_string(),
            (None, true) => "local".to_owned(),
            (None, false) => "anonymous".to_owned(),
        }
    }
}
