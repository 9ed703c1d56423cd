//! openraft's requests and answers as our protobuf, and back.

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use steeple_api::steeple::peer as pb;

use super::codec::{
    CodecError, entry_from_pb, entry_to_pb, log_id_from_pb, log_id_to_pb, required, vote_from_pb, vote_to_pb,
};
use super::types::TypeConfig;

pub(super) fn append_request_to_pb(rpc: &AppendEntriesRequest<TypeConfig>) -> pb::AppendEntriesRequest {
    pb::AppendEntriesRequest {
        vote: Some(vote_to_pb(&rpc.vote)),
        prev_log_id: rpc.prev_log_id.as_ref().map(log_id_to_pb),
        entries: rpc.entries.iter().map(entry_to_pb).collect(),
        leader_commit: rpc.leader_commit.as_ref().map(log_id_to_pb),
    }
}

pub(super) fn append_request_from_pb(
    rpc: pb::AppendEntriesRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, CodecError> {
    Ok(AppendEntriesRequest {
        vote: vote_from_pb(&required(rpc.vote, "vote")?),
        prev_log_id: rpc.prev_log_id.as_ref().map(log_id_from_pb),
        entries: rpc.entries.into_iter().map(entry_from_pb).collect::<Result<_, _>>()?,
        leader_commit: rpc.leader_commit.as_ref().map(log_id_from_pb),
    })
}

pub(super) fn append_response_to_pb(answer: &AppendEntriesResponse<TypeConfig>) -> pb::AppendEntriesResponse {
    use pb::append_entries_response::{Conflict, PartialSuccess, Result, Success};
    let result = match answer {
        AppendEntriesResponse::Success => Result::Success(Success {}),
        AppendEntriesResponse::PartialSuccess(last) => {
            Result::PartialSuccess(PartialSuccess { log_id: last.as_ref().map(log_id_to_pb) })
        }
        AppendEntriesResponse::Conflict => Result::Conflict(Conflict {}),
        AppendEntriesResponse::HigherVote(vote) => Result::HigherVote(vote_to_pb(vote)),
    };
    pb::AppendEntriesResponse { result: Some(result) }
}

pub(super) fn append_response_from_pb(
    answer: pb::AppendEntriesResponse,
) -> Result<AppendEntriesResponse<TypeConfig>, CodecError> {
    use pb::append_entries_response::Result;
    Ok(match required(answer.result, "result")? {
        Result::Success(_) => AppendEntriesResponse::Success,
        Result::PartialSuccess(partial) => {
            AppendEntriesResponse::PartialSuccess(partial.log_id.as_ref().map(log_id_from_pb))
        }
        Result::Conflict(_) => AppendEntriesResponse::Conflict,
        Result::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote_from_pb(&vote)),
    })
}

pub(super) fn stream_append_to_pb(answer: &StreamAppendResult<TypeConfig>) -> pb::StreamAppendResponse {
    use pb::stream_append_response::{Matching, Result};
    let result = match answer {
        Ok(matching) => Result::Matching(Matching { log_id: matching.as_ref().map(log_id_to_pb) }),
        Err(StreamAppendError::Conflict(log_id)) => Result::Conflict(log_id_to_pb(log_id)),
        Err(StreamAppendError::HigherVote(vote)) => Result::HigherVote(vote_to_pb(vote)),
    };
    pb::StreamAppendResponse { result: Some(result) }
}

pub(super) fn stream_append_from_pb(
    answer: pb::StreamAppendResponse,
) -> Result<StreamAppendResult<TypeConfig>, CodecError> {
    use pb::stream_append_response::Result;
    Ok(match required(answer.result, "result")? {
        Result::Matching(matching) => Ok(matching.log_id.as_ref().map(log_id_from_pb)),
        Result::Conflict(log_id) => Err(StreamAppendError::Conflict(log_id_from_pb(&log_id))),
        Result::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote_from_pb(&vote))),
    })
}

pub(super) fn vote_request_to_pb(rpc: &VoteRequest<TypeConfig>) -> pb::VoteRequest {
    pb::VoteRequest {
        vote: Some(vote_to_pb(&rpc.vote)),
        last_log_id: rpc.last_log_id.as_ref().map(log_id_to_pb),
        leadership_transfer: rpc.leadership_transfer,
    }
}

pub(super) fn vote_request_from_pb(rpc: &pb::VoteRequest) -> Result<VoteRequest<TypeConfig>, CodecError> {
    Ok(VoteRequest {
        vote: vote_from_pb(&required(rpc.vote, "vote")?),
        last_log_id: rpc.last_log_id.as_ref().map(log_id_from_pb),
        leadership_transfer: rpc.leadership_transfer,
    })
}

pub(super) fn vote_response_to_pb(answer: &VoteResponse<TypeConfig>) -> pb::VoteResponse {
    pb::VoteResponse {
        vote: Some(vote_to_pb(&answer.vote)),
        granted: answer.vote_granted,
        last_log_id: answer.last_log_id.as_ref().map(log_id_to_pb),
    }
}

pub(super) fn vote_response_from_pb(answer: pb::VoteResponse) -> Result<VoteResponse<TypeConfig>, CodecError> {
    let vote = vote_from_pb(&required(answer.vote, "vote")?);
    Ok(VoteResponse::new(vote, answer.last_log_id.as_ref().map(log_id_from_pb), answer.granted))
}

pub(super) fn transfer_request_to_pb(rpc: &TransferLeaderRequest<TypeConfig>) -> pb::TransferLeaderRequest {
    pb::TransferLeaderRequest {
        from_leader: Some(vote_to_pb(rpc.from_leader())),
        to_node_id: *rpc.to_node_id(),
        last_log_id: rpc.last_log_id().map(log_id_to_pb),
    }
}

pub(super) fn transfer_request_from_pb(
    rpc: &pb::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, CodecError> {
    let from = vote_from_pb(&required(rpc.from_leader, "leader")?);
    Ok(TransferLeaderRequest::new(from, rpc.to_node_id, rpc.last_log_id.as_ref().map(log_id_from_pb)))
}

pub(super) fn transfer_response_to_pb(answer: &TransferLeaderResponse<TypeConfig>) -> pb::TransferLeaderResponse {
    use pb::transfer_leader_response::{Accepted, LogNotFlushed, Result, VoteChanged};
    let result = match answer {
        Ok(()) => Result::Accepted(Accepted {}),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            Result::VoteChanged(VoteChanged { expected: Some(vote_to_pb(expected)), actual: Some(vote_to_pb(actual)) })
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => Result::LogNotFlushed(LogNotFlushed {
            expected: expected.as_ref().map(log_id_to_pb),
            actual: actual.as_ref().map(log_id_to_pb),
        }),
    };
    pb::TransferLeaderResponse { result: Some(result) }
}

pub(super) fn transfer_response_from_pb(
    answer: pb::TransferLeaderResponse,
) -> Result<TransferLeaderResponse<TypeConfig>, CodecError> {
    use pb::transfer_leader_response::Result;
    Ok(match required(answer.result, "result")? {
        Result::Accepted(_) => Ok(()),
        Result::VoteChanged(changed) => Err(TransferLeaderError::VoteChanged {
            expected: vote_from_pb(&required(changed.expected, "expected vote")?),
            actual: vote_from_pb(&required(changed.actual, "actual vote")?),
        }),
        Result::LogNotFlushed(behind) => Err(TransferLeaderError::LogNotFlushed {
            expected: behind.expected.as_ref().map(log_id_from_pb),
            actual: behind.actual.as_ref().map(log_id_from_pb),
        }),
    })
}
