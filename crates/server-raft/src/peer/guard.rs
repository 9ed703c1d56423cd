//! Who may call what on the peer port, decided for every call: a certificate alone is not enough, because a removed
//! member still has one (Consul's CVE-2021-37219).

use std::sync::Arc;

use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

use super::{ConnectionInfo, PeerId};

/// What the membership that this replica knows says of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Member,
    /// Its id was allocated after everything this replica knows: only the log can tell, so consensus lets it speak.
    Newer,
    /// Removed, or never admitted, or another disk under a known id.
    Stranger,
}

pub trait MemberView: Send + Sync {
    fn standing(&self, id: &PeerId) -> Standing;
}

/// The gate in front of the services of the peer port.
#[derive(Clone)]
pub struct PeerGuard {
    cluster_uuid: steeple_state::Uuid,
    members: Arc<dyn MemberView>,
}

impl PeerGuard {
    pub fn new(cluster_uuid: steeple_state::Uuid, members: Arc<dyn MemberView>) -> Self {
        Self { cluster_uuid, members }
    }

    /// For consensus: the node id of a member, or of one that is newer than what this replica knows.
    pub fn member<T>(&self, request: &Request<T>) -> Result<u64, Status> {
        self.standing(self.peer(request)?)
    }

    /// For the messages of a stream: as [`Self::member`], at the moment of each.
    pub fn standing(&self, id: &PeerId) -> Result<u64, Status> {
        match self.members.standing(id) {
            Standing::Member | Standing::Newer => Ok(id.node_id),
            Standing::Stranger => Err(stranger(id)),
        }
    }

    /// For everything else: the node id of a member that this replica knows.
    pub fn known_member<T>(&self, request: &Request<T>) -> Result<u64, Status> {
        let id = self.peer(request)?;
        match self.members.standing(id) {
            Standing::Member => Ok(id.node_id),
            Standing::Newer | Standing::Stranger => Err(stranger(id)),
        }
    }

    /// Who calls, by the certificate of the connection.
    pub fn peer<'a, T>(&self, request: &'a Request<T>) -> Result<&'a PeerId, Status> {
        let connection = request.extensions().get::<ConnectionInfo>();
        let id = connection.and_then(|connection| connection.peer.as_ref());
        let id = id.ok_or_else(no_certificate)?;
        if id.cluster_uuid != self.cluster_uuid {
            return Err(Status::permission_denied("this is another cluster"));
        }
        Ok(id)
    }
}

/// In front of every service but `Join`: who shows no certificate is turned away before a message is read, which may be
/// large.
pub(crate) fn certified(request: Request<()>) -> Result<Request<()>, Status> {
    let connection = request.extensions().get::<ConnectionInfo>();
    match connection.and_then(|connection| connection.peer) {
        Some(_) => Ok(request),
        None => Err(no_certificate()),
    }
}

fn no_certificate() -> Status {
    Status::unauthenticated("a peer certificate is required")
}

fn stranger(id: &PeerId) -> Status {
    let mut status = Status::permission_denied(format!(
        "node {} is not a member of this cluster; if it was removed, give it an empty data directory and let it join",
        id.node_id
    ));
    status.metadata_mut().insert(STANDING, MetadataValue::from_static(STRANGER));
    status
}

/// Whether a peer said that this replica is no member: by a mark, as texts change.
pub(crate) fn is_stranger(status: &Status) -> bool {
    status.code() == Code::PermissionDenied && status.metadata().get(STANDING).is_some_and(|value| value == STRANGER)
}

const STANDING: &str = "steeple-standing";
const STRANGER: &str = "stranger";

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::peer::JoinProof;

    struct Fixed(Standing);

    impl MemberView for Fixed {
        fn standing(&self, _id: &PeerId) -> Standing {
            self.0
        }
    }

    const CLUSTER: [u8; 16] = [1; 16];

    fn guard(standing: Standing) -> PeerGuard {
        PeerGuard::new(CLUSTER, Arc::new(Fixed(standing)))
    }

    fn request(cluster_uuid: Option<[u8; 16]>) -> Request<()> {
        let peer = cluster_uuid.map(|cluster_uuid| PeerId { cluster_uuid, node_id: 7, storage_uuid: [2; 16] });
        let remote = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut request = Request::new(());
        request.extensions_mut().insert(ConnectionInfo { remote, peer, proof: Arc::new(JoinProof::for_tests()) });
        request
    }

    fn code<T>(result: Result<T, Status>) -> Option<Code> {
        result.err().map(|status| status.code())
    }

    #[test]
    fn only_members_of_this_cluster_pass() {
        let request_of_a_member = request(Some(CLUSTER));
        assert_eq!(guard(Standing::Member).member(&request_of_a_member).ok(), Some(7));
        assert_eq!(guard(Standing::Member).known_member(&request_of_a_member).ok(), Some(7));
        let refused = guard(Standing::Stranger).member(&request_of_a_member).expect_err("a stranger");
        assert_eq!((refused.code(), is_stranger(&refused)), (Code::PermissionDenied, true));
        let elsewhere = guard(Standing::Member).member(&request(Some([9; 16]))).expect_err("another cluster");
        assert!(!is_stranger(&elsewhere), "which says nothing of this one");
        assert_eq!(code(guard(Standing::Member).member(&request(Some([9; 16])))), Some(Code::PermissionDenied));
        assert_eq!(code(guard(Standing::Member).member(&request(None))), Some(Code::Unauthenticated));
        assert_eq!(code(guard(Standing::Member).member(&Request::new(()))), Some(Code::Unauthenticated));
    }

    #[test]
    fn who_is_newer_than_our_log_speaks_to_consensus_only() {
        let newer = guard(Standing::Newer);
        assert_eq!(newer.member(&request(Some(CLUSTER))).ok(), Some(7));
        assert_eq!(code(newer.known_member(&request(Some(CLUSTER)))), Some(Code::PermissionDenied));
    }
}
