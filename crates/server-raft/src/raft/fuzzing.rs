//! Consensus messages and records, for `crates/fuzz`: openraft's types stay in this folder.

use prost::Message;
use steeple_api::steeple::peer as pb;

use super::{codec, wire};

/// One form of message between replicas, or of record on a replica's disk.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    AppendRequest,
    AppendResponse,
    LogRecord,
    SnapshotMeta,
    StoredMembership,
    StreamAppendResponse,
    TransferRequest,
    TransferResponse,
    VoteRequest,
    VoteResponse,
}

impl Form {
    pub const ALL: [Self; 10] = [
        Self::AppendRequest,
        Self::AppendResponse,
        Self::LogRecord,
        Self::SnapshotMeta,
        Self::StoredMembership,
        Self::StreamAppendResponse,
        Self::TransferRequest,
        Self::TransferResponse,
        Self::VoteRequest,
        Self::VoteResponse,
    ];

    /// Reads the bytes into openraft's value and writes that again. `None` where they are refused.
    pub fn rewrite(self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::AppendRequest => {
                Some(encode(&wire::append_request_to_pb(&wire::append_request_from_pb(decode(bytes)?).ok()?)))
            }
            Self::AppendResponse => {
                Some(encode(&wire::append_response_to_pb(&wire::append_response_from_pb(decode(bytes)?).ok()?)))
            }
            Self::LogRecord => {
                let entry = codec::entry_from_pb(codec::from_record(bytes).ok()?).ok()?;
                Some(codec::to_record(&codec::entry_to_pb(&entry)))
            }
            Self::SnapshotMeta => {
                Some(encode(&codec::snapshot_meta_to_pb(&codec::snapshot_meta_from_pb(decode(bytes)?).ok()?)))
            }
            Self::StoredMembership => {
                Some(encode(&codec::stored_membership_to_pb(&codec::stored_membership_from_pb(decode(bytes)?).ok()?)))
            }
            Self::StreamAppendResponse => {
                Some(encode(&wire::stream_append_to_pb(&wire::stream_append_from_pb(decode(bytes)?).ok()?)))
            }
            Self::TransferRequest => Some(encode(&wire::transfer_request_to_pb(
                &wire::transfer_request_from_pb(&decode::<pb::TransferLeaderRequest>(bytes)?).ok()?,
            ))),
            Self::TransferResponse => {
                Some(encode(&wire::transfer_response_to_pb(&wire::transfer_response_from_pb(decode(bytes)?).ok()?)))
            }
            Self::VoteRequest => Some(encode(&wire::vote_request_to_pb(
                &wire::vote_request_from_pb(&decode::<pb::VoteRequest>(bytes)?).ok()?,
            ))),
            Self::VoteResponse => {
                Some(encode(&wire::vote_response_to_pb(&wire::vote_response_from_pb(decode(bytes)?).ok()?)))
            }
        }
    }
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    M::decode(bytes).ok()
}

fn encode(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}
