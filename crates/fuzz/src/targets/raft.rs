//! What replicas say to each other.

use prost::Message as _;
use steeple_api::steeple::peer as pb;
use steeple_ca::Csr;
use steeple_server_raft::peer::PeerId;
use steeple_server_raft::raft::fuzzing::Form;

use super::{issued, text};
use crate::{Verdict, within};

/// One byte chooses the form.
pub fn message(data: &[u8]) -> Verdict {
    let Some((choice, bytes)) = data.split_first() else { return Verdict::Refused };
    let form = Form::ALL[usize::from(*choice) % Form::ALL.len()];
    // A voter's number takes two bytes on the wire, and the node of a map in memory.
    let Some(written) = within(600, bytes, || form.rewrite(bytes)) else { return Verdict::Refused };
    assert_eq!(form.rewrite(&written).as_ref(), Some(&written), "{form:?}");
    Verdict::Read
}

pub fn message_seeds() -> Vec<Vec<u8>> {
    let (vote, log_id) =
        (pb::Vote { term: 3, node_id: 1, committed: true }, pb::LogId { term: 3, node_id: 1, index: 7 });
    let node = pb::Node {
        node_id: 1,
        name: "node-1".to_owned(),
        address: "node-1:8082".to_owned(),
        storage_uuid: vec![7; 16],
    };
    let membership = pb::Membership { configs: vec![pb::VoterSet { node_ids: vec![1] }], nodes: vec![node] };
    let entry = |payload| pb::LogEntry { log_id: Some(log_id), payload: Some(payload), stamped_at_ms: 5 };
    let entries = [
        pb::log_entry::Payload::Blank(pb::Blank {}),
        pb::log_entry::Payload::Commands(b"\x01".to_vec()),
        pb::log_entry::Payload::Membership(membership.clone()),
    ]
    .map(entry);
    let append = pb::AppendEntriesRequest {
        vote: Some(vote),
        prev_log_id: Some(log_id),
        entries: entries.to_vec(),
        leader_commit: Some(log_id),
    };
    let record = [&[1][..], &entries[2].encode_to_vec()].concat();
    let stored = pb::StoredMembership { log_id: Some(log_id), membership: Some(membership) };
    let ask = pb::VoteRequest { vote: Some(vote), last_log_id: Some(log_id), leadership_transfer: false };
    let seed = |form: Form, bytes: Vec<u8>| [&[form as u8][..], &bytes].concat();
    vec![
        seed(Form::AppendRequest, append.encode_to_vec()),
        seed(Form::LogRecord, record),
        seed(Form::StoredMembership, stored.encode_to_vec()),
        seed(Form::VoteRequest, ask.encode_to_vec()),
    ]
}

/// The name in a peer's certificate.
pub fn peer_id(data: &[u8]) -> Verdict {
    let Some(Ok(id)) = text(data).map(|text| within(8, data, || PeerId::parse(text))) else {
        return Verdict::Refused;
    };
    assert_eq!(id.to_string().as_bytes(), data);
    Verdict::Read
}

/// What a replica that nobody knows yet says of itself.
pub fn join_message(data: &[u8]) -> Verdict {
    let Ok(proved) = within(30, data, || pb::Proved::decode(data)) else { return Verdict::Refused };
    let request = pb::JoinRequest::decode(&*proved.message);
    let csr = request.ok().and_then(|request| Csr::parse(&request.csr).ok());
    Verdict::read_if(csr.is_some_and(|csr| csr.verify_signature().is_ok()))
}

pub fn join_message_seeds() -> Vec<Vec<u8>> {
    let request = pb::JoinRequest {
        name: "node-2".to_owned(),
        address: "node-2:8082".to_owned(),
        storage_uuid: vec![7; 16],
        csr: issued::CSR.to_vec(),
        trust_domain: "example.org".to_owned(),
        ..pb::JoinRequest::default()
    };
    vec![pb::Proved { message: request.encode_to_vec(), proof: vec![7; 32] }.encode_to_vec()]
}
