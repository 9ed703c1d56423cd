//! The joiner's side: ask the configured addresses until one member admits this replica.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use prost::Message;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use steeple_api::steeple::peer as pb;
use steeple_api::steeple::peer::join_client::JoinClient;
use steeple_ca::seal::{ProofRole, SealingKey};
use steeple_core::{Clock, KeyType, Secret, TrustDomain};
use steeple_state::{CLUSTER_VERSION_MAX, Uuid};
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::credentials::{CertifiedPeerKey, joiner_client_config};
use super::dial::dial;
use super::{JoinProgress, JoinProof, PeerNetwork, PeerTarget, ProofError};

/// What a replica without a cluster says about itself.
pub struct JoinRequest {
    /// `host:port` of members' peer ports, tried in order.
    pub addresses: Vec<String>,
    pub name: String,
    /// `host:port` under which members reach this replica.
    pub advertise: String,
    pub api_address: String,
    pub storage_uuid: Uuid,
    pub trust_domain: TrustDomain,
    pub sealing_key: Arc<SealingKey>,
    pub clock: Arc<dyn Clock>,
    pub network: Arc<dyn PeerNetwork>,
    pub progress: JoinProgress,
}

/// The cluster's answer. It may be asked for again with the same storage UUID: the id stays the same.
pub struct JoinAnswer {
    pub cluster_uuid: Uuid,
    pub node_id: u64,
    /// DER.
    pub ca_certificates: Vec<Vec<u8>>,
    pub members: Vec<PeerTarget>,
    pub(super) certified: CertifiedPeerKey,
}

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("no address to join is configured; name members' peer ports as `join` in the cluster block")]
    NoAddress,
    #[error("none of the addresses to join admitted this server: {}", reasons.join("; "))]
    Unreachable { reasons: Vec<String> },
    /// Another attempt would end the same way.
    #[error("the cluster refused: {message}")]
    Refused { message: String },
    #[error(
        "{address} does not prove that it holds the same sealing key; \
         copy the cluster's sealing key file to this server, or correct the address{}",
        wanted.as_ref().map(|wanted| format!(" (it wants the key {wanted}, this server has {ours})"))
            .unwrap_or_default()
    )]
    WrongSealingKey {
        address: String,
        /// Which key this server has.
        ours: String,
        /// Which one the other side asks for. It has proved nothing.
        wanted: Option<String>,
    },
    #[error("the answer to the join is not usable: {0}")]
    Malformed(String),
    #[error("the key for the peer certificate could not be made: {0}")]
    Key(String),
}

const WANTED_KEY: &str = "steeple-sealing-key";
/// One call takes at most this long: the leader has to commit the new member.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Before the addresses are tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// An answer holds a certificate, a few CA certificates and the member list.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Asks until a member admits this replica or refuses it for good. Dropping the future gives up.
pub async fn join(request: &JoinRequest) -> Result<JoinAnswer, JoinError> {
    let mut told = Vec::new();
    loop {
        match ask_all(request).await {
            Err(JoinError::Unreachable { reasons }) => {
                if told != reasons {
                    tracing::warn!(reasons = %reasons.join("; "), "no member admitted this server yet, asking again");
                    request.progress.waits_because(format!("no member admitted it: {}", reasons.join("; ")));
                    told = reasons;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Asks each address once.
async fn ask_all(request: &JoinRequest) -> Result<JoinAnswer, JoinError> {
    if request.addresses.is_empty() {
        return Err(JoinError::NoAddress);
    }
    let mut reasons = Vec::new();
    for address in &request.addresses {
        match ask(request, address).await {
            Ok(answer) => return Ok(answer),
            Err(Attempt::Final(error)) => return Err(error),
            Err(Attempt::Again(reason)) => reasons.push(format!("{address}: {reason}")),
        }
    }
    Err(JoinError::Unreachable { reasons })
}

enum Attempt {
    Again(String),
    Final(JoinError),
}

async fn ask(request: &JoinRequest, address: &str) -> Result<JoinAnswer, Attempt> {
    let again = |error: &dyn std::fmt::Display| Attempt::Again(error.to_string());
    let tls = joiner_client_config(Arc::clone(&request.clock)).map_err(|error| again(&error))?;
    let stream = dial(request.network.as_ref(), address, tls).await.map_err(|error| again(&error))?;
    let proof = JoinProof::of(stream.get_ref().1).map_err(|error| again(&error))?;

    let key = steeple_ca::generate_pkcs8(KeyType::EcP256).map_err(|error| final_key(&error))?;
    let message = message(request, &key, &proof)?;
    let answer = match tokio::time::timeout(CALL_TIMEOUT, call(stream, message)).await {
        Ok(answer) => answer,
        Err(_) => return Err(Attempt::Again(format!("no answer within {CALL_TIMEOUT:?}"))),
    };
    let answer = answer.map_err(|status| match status.code() {
        Code::Unauthenticated => wrong(request, address, wanted_key(&status)),
        Code::PermissionDenied | Code::FailedPrecondition | Code::InvalidArgument => {
            Attempt::Final(JoinError::Refused { message: status.message().to_owned() })
        }
        _ => again(&status.message()),
    })?;
    believe(request, address, &proof, answer, key)
}

fn message(request: &JoinRequest, key: &Secret, proof: &JoinProof) -> Result<pb::Proved, Attempt> {
    let message = pb::JoinRequest {
        name: request.name.clone(),
        address: request.advertise.clone(),
        storage_uuid: request.storage_uuid.to_vec(),
        csr: csr(key).map_err(|error| final_key(&error))?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster_version_max: CLUSTER_VERSION_MAX,
        trust_domain: request.trust_domain.to_string(),
        api_address: request.api_address.clone(),
    };
    let message = message.encode_to_vec();
    let proof = proof.prove(&request.sealing_key, ProofRole::Joiner, &message);
    Ok(pb::Proved { message, proof: proof.map_err(|error| final_key(&error))? })
}

/// Sends the one request over the one connection that the proof is bound to.
async fn call<S>(stream: S, message: pb::Proved) -> Result<pb::Proved, Status>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let stream = Arc::new(Mutex::new(Some(TokioIo::new(stream))));
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        // A second connection would have other keying material, so there is none.
        let stream = stream.lock().take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        async move { stream }
    });
    let channel = Endpoint::from_static("http://peer.steeple.internal").connect_with_connector(connector).await;
    let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut client = JoinClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    Ok(client.join(message).await?.into_inner())
}

/// Takes nothing from the answer before it proved possession of the sealing key over this connection.
fn believe(
    request: &JoinRequest,
    address: &str,
    proof: &JoinProof,
    answer: pb::Proved,
    key: Secret,
) -> Result<JoinAnswer, Attempt> {
    let verified = proof.verify(&request.sealing_key, ProofRole::Member, &answer.message, &answer.proof);
    verified.map_err(|error| match error {
        ProofError::Wrong => wrong(request, address, None),
        other => Attempt::Final(JoinError::Malformed(other.to_string())),
    })?;
    let malformed = |what: &str| Attempt::Final(JoinError::Malformed(what.to_owned()));
    let answer = pb::JoinResponse::decode(answer.message.as_slice()).map_err(|error| malformed(&error.to_string()))?;
    let member = |node: pb::Node| -> Result<PeerTarget, Attempt> {
        let storage_uuid = node.storage_uuid.try_into().map_err(|_| malformed("a storage UUID has 16 bytes"))?;
        Ok(PeerTarget { node_id: node.node_id, address: node.address, storage_uuid })
    };
    Ok(JoinAnswer {
        cluster_uuid: answer.cluster_uuid.try_into().map_err(|_| malformed("a cluster UUID has 16 bytes"))?,
        node_id: answer.node_id,
        ca_certificates: answer.peer_ca_certificates,
        members: answer.members.into_iter().map(member).collect::<Result<_, _>>()?,
        certified: CertifiedPeerKey { certificate: answer.certificate, key },
    })
}

fn wrong(request: &JoinRequest, address: &str, wanted: Option<String>) -> Attempt {
    let ours = request.sealing_key.id().unwrap_or_default();
    Attempt::Final(JoinError::WrongSealingKey { address: address.to_owned(), ours, wanted })
}

/// A member's answer to a joiner without the sealing key in force, `key_id`: its name tells nothing of it.
pub(crate) fn wrong_key(key_id: &str) -> Status {
    let mut status = Status::unauthenticated("the joining server does not hold this cluster's sealing key");
    if let Ok(value) = MetadataValue::try_from(key_id) {
        status.metadata_mut().insert(WANTED_KEY, value);
    }
    status
}

fn wanted_key(status: &Status) -> Option<String> {
    let id = status.metadata().get(WANTED_KEY)?.to_str().ok()?;
    SealingKey::is_id(id).then(|| id.to_owned())
}

/// Only the key in it counts; the member decides everything else.
fn csr(key: &Secret) -> Result<Vec<u8>, rcgen::Error> {
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.expose()));
    let key = KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256)?;
    Ok(CertificateParams::default().serialize_request(&key)?.der().to_vec())
}

fn final_key(error: &dyn std::fmt::Display) -> Attempt {
    Attempt::Final(JoinError::Key(error.to_string()))
}
