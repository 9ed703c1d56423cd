//! Admission of new replicas: the unauthenticated `Join` call, and what the leader does about it.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use prost::Message;
use steeple_api::steeple::peer as pb;
use steeple_api::steeple::peer::join_server;
use steeple_ca::Csr;
use steeple_ca::seal::{ProofRole, SealingKey};
use steeple_state::{CLUSTER_VERSION_FIRST, CommandKind, MemberFacts, Outcome, Uuid};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::codec;
use super::consensus::{Consensus, Route};
use super::membership::HEARD_WITHIN;
use super::peer_ca::open_peer_ca;
use super::propose::{Queue, driver_command};
use super::{remote, sealing_keys};
use crate::peer::{ConnectionInfo, PeerId, wrong_key};
use crate::seal::ServerSealed;

/// How long a join may wait for the leader's commit.
const ADMIT_TIMEOUT: Duration = Duration::from_secs(8);
/// A pod's name or a host name (RFC 1035).
const NAME_BYTES_MAX: usize = 253;
/// `host:port`.
const ADDRESS_BYTES_MAX: usize = NAME_BYTES_MAX + 6;
/// A request is a CSR and a few names. It is read before anything is known of the caller.
pub(super) const JOIN_BYTES_MAX: usize = 16 * 1024;

/// Admits members, here when this replica leads, else at the leader.
pub(super) struct Admission {
    consensus: Arc<Consensus>,
    queue: Queue,
}

pub(super) struct JoinService {
    admission: Arc<Admission>,
}

impl Admission {
    pub(super) fn new(consensus: Arc<Consensus>, queue: Queue) -> Self {
        Self { consensus, queue }
    }

    /// `request` comes from somebody who proved to hold the sealing key of that name.
    pub(super) async fn admit(
        &self,
        request: pb::JoinRequest,
        key_id: &str,
        hops: u32,
    ) -> Result<pb::JoinResponse, Status> {
        if let Some(answer) = self.answer_known(&request, key_id)? {
            return Ok(answer);
        }
        let deadline = Instant::now() + ADMIT_TIMEOUT;
        match self.consensus.route() {
            Route::Here => self.admit_here(request, key_id, deadline).await,
            Route::There(id, node) if hops < remote::HOPS => {
                let peers = self.consensus.peers.as_ref().ok_or_else(no_leader)?;
                let sealing_key_id = key_id.to_owned();
                let message = pb::AdmitRequest { join: Some(request), hops: hops + 1, sealing_key_id };
                let mut leader = remote::leader(peers, id, &node)?;
                Ok(leader.admit(remote::until(deadline, message)).await?.into_inner())
            }
            Route::There(..) | Route::Nowhere => Err(no_leader()),
        }
    }

    /// A member that stopped before the log reached it asks again who it is. Every member knows, and nothing has to be
    /// written: who is needed for a quorum must not need one to come back. Under another address it has to be written.
    fn answer_known(&self, request: &pb::JoinRequest, key_id: &str) -> Result<Option<pb::JoinResponse>, Status> {
        let known = {
            let state = self.consensus.published.state.read();
            let storage_uuid = request.storage_uuid.as_slice().try_into().ok();
            let member = storage_uuid.and_then(|storage_uuid| state.member_by_storage(&storage_uuid));
            member.filter(|member| member.facts.peer_address == request.address).map(|member| member.node_id)
        };
        let Some(node_id) = known else { return Ok(None) };
        self.check_key(key_id)?;
        let (facts, public_key) = self.check(request.clone())?;
        self.answer(node_id, facts.storage_uuid, &public_key).map(Some)
    }

    async fn admit_here(
        &self,
        request: pb::JoinRequest,
        key_id: &str,
        deadline: Instant,
    ) -> Result<pb::JoinResponse, Status> {
        self.check_key(key_id)?;
        let (facts, public_key) = self.check(request)?;
        let storage_uuid = facts.storage_uuid;
        let command = driver_command("join", CommandKind::AllocateMember { member: facts });
        let committed = self.queue.submit(command, deadline).await;
        let committed =
            committed.map_err(|refusal| Status::unavailable(format!("the join was not written: {refusal:?}")))?;
        let node_id = match committed.outcome {
            Outcome::Member { node_id } => node_id,
            Outcome::Rejected(rejection) => return Err(Status::failed_precondition(rejection.message)),
            other => return Err(Status::internal(format!("unexpected outcome of a join: {other:?}"))),
        };
        // It is on the list now, and what was replaced before it was there has passed it by.
        self.check_key(key_id)?;
        self.answer(node_id, storage_uuid, &public_key)
    }

    /// A joiner that proved to hold a key of the past asks again, and is told so by a member that knows.
    fn check_key(&self, key_id: &str) -> Result<(), Status> {
        let in_force = sealing_keys::in_force(&self.consensus.published.state.read());
        match in_force {
            Some(in_force) if !key_id.is_empty() && in_force != key_id => {
                Err(Status::unavailable(format!("the cluster's sealing key is {in_force} by now; ask again")))
            }
            _ => Ok(()),
        }
    }

    fn key_in_force(&self) -> Result<Arc<SealingKey>, Status> {
        self.consensus.sealing_key.of(&self.consensus.published.state.read()).map_err(sealed)
    }

    fn check(&self, request: pb::JoinRequest) -> Result<(MemberFacts, Vec<u8>), Status> {
        let invalid = |why: &str| Status::invalid_argument(why.to_owned());
        let storage_uuid: Uuid = request.storage_uuid.try_into().map_err(|_| invalid("a storage UUID has 16 bytes"))?;
        if request.name.is_empty() || request.name.len() > NAME_BYTES_MAX {
            return Err(invalid("the name of a member has 1 to 253 bytes"));
        }
        if !is_address(&request.address) {
            return Err(invalid("the advertised address of a member is host:port"));
        }
        let csr = Csr::parse(&request.csr).map_err(|error| invalid(&error.to_string()))?;
        csr.verify_signature().map_err(|error| invalid(&error.to_string()))?;
        {
            let state = self.consensus.published.state.read();
            let ours = state.trust_domain().ok_or_else(no_leader)?.to_string();
            if ours != request.trust_domain {
                let theirs = request.trust_domain.chars().take(NAME_BYTES_MAX).collect::<String>();
                return Err(Status::failed_precondition(format!(
                    "this cluster serves trust domain {ours}, the joining server is configured for {theirs}"
                )));
            }
            let (has, knows) = (state.cluster_version(), request.cluster_version_max.max(CLUSTER_VERSION_FIRST));
            if knows < has {
                return Err(Status::failed_precondition(format!(
                    "this cluster is at version {has}, the joining server's release knows versions up to {knows}: \
                     upgrade it first"
                )));
            }
            let namesake = state
                .members()
                .find(|member| member.facts.name == request.name && member.facts.storage_uuid != storage_uuid);
            if let Some(namesake) = namesake
                && self.is_alive(namesake.node_id)
            {
                // Not for ever: a member that was stopped a moment ago still counts as alive.
                return Err(Status::already_exists(format!(
                    "node {} is called {} too, and is alive; stop it, or give the joining server another `name`",
                    namesake.node_id, request.name
                )));
            }
        }
        let facts = MemberFacts {
            storage_uuid,
            name: request.name,
            peer_address: request.address,
            api_address: request.api_address,
        };
        Ok((facts, csr.public_key.spki().to_vec()))
    }

    /// Only the leader asks, and it hears from every node.
    fn is_alive(&self, node_id: u64) -> bool {
        use openraft::Instant as _;
        if node_id == self.consensus.node_id {
            return true;
        }
        let acked = self.consensus.metrics().heartbeat.and_then(|acks| acks.get(&node_id).cloned().flatten());
        acked.is_some_and(|at| at.elapsed() < HEARD_WITHIN)
    }

    fn answer(&self, node_id: u64, storage_uuid: Uuid, public_key: &[u8]) -> Result<pb::JoinResponse, Status> {
        let internal = |error: &dyn std::fmt::Display| Status::internal(error.to_string());
        let state = self.consensus.published.state.read();
        let sealing_key = self.consensus.sealing_key.of(&state).map_err(sealed)?;
        let peer_ca = open_peer_ca(&state, &sealing_key).map_err(|error| internal(&error))?.ok_or_else(no_leader)?;
        let cluster_uuid = state.cluster().map(|cluster| cluster.uuid).ok_or_else(no_leader)?;
        let id = PeerId { cluster_uuid, node_id, storage_uuid };
        let certificate = peer_ca.authority.issue(&id, public_key, self.consensus.clock.now(), &SystemRandom::new());
        let membership = self.consensus.metrics().membership_config;
        Ok(pb::JoinResponse {
            cluster_uuid: cluster_uuid.to_vec(),
            node_id,
            certificate: certificate.map_err(|error| internal(&error))?,
            peer_ca_certificates: peer_ca.certificates,
            members: membership.nodes().map(|(id, node)| codec::node_to_pb(*id, node)).collect(),
        })
    }
}

impl JoinService {
    pub(super) fn new(admission: Arc<Admission>) -> Self {
        Self { admission }
    }
}

#[tonic::async_trait]
impl join_server::Join for JoinService {
    async fn join(&self, request: Request<pb::Proved>) -> Result<Response<pb::Proved>, Status> {
        let connection = request.extensions().get::<ConnectionInfo>().cloned();
        let connection = connection.ok_or_else(|| Status::internal("the connection is not known"))?;
        let key = self.admission.key_in_force()?;
        let key_id = key.id().map_err(|error| Status::internal(error.to_string()))?;
        let pb::Proved { message, proof } = request.into_inner();
        if let Err(error) = connection.proof.verify(&key, ProofRole::Joiner, &message, &proof) {
            tracing::warn!(remote = %connection.remote, %error, "a join was refused");
            return Err(wrong_key(&key_id));
        }
        let join = pb::JoinRequest::decode(message.as_slice());
        let join = join.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (remote, address) = (connection.remote, &join.address);
        tracing::debug!(%remote, name = %join.name, %address, "a replica asks to join");
        let message = self.admission.admit(join, &key_id, 0).await?.encode_to_vec();
        let proof = connection.proof.prove(&key, ProofRole::Member, &message);
        let proof = proof.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(pb::Proved { message, proof }))
    }
}

/// The joiner asks the next address.
fn sealed(why: ServerSealed) -> Status {
    Status::unavailable(why.to_string())
}

fn no_leader() -> Status {
    Status::unavailable("the cluster has no leader at the moment; ask again")
}

fn is_address(address: &str) -> bool {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    address.len() <= ADDRESS_BYTES_MAX && matches!(port, Some(Ok(1..)))
}
