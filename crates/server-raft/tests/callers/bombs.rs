//! The largest messages that an attested agent can send, at the leader of three: each is answered, nobody's memory has
//! no end, and consensus goes on.

use std::time::Duration;

use futures::future::join_all;
use steeple_testkit::{framed, raw_call};
use tonic::Code;

use crate::every_caller::Cast;

/// Just below gRPC's limit.
const MESSAGE_BYTES: usize = (4 << 20) - 64;
/// Of each bomb, at once.
const AT_ONCE: usize = 3;
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// Two million items of fifty bytes, with what a vector wastes while it grows, as many times as there are threads that
/// decode.
const MEMORY_MIB_MAX: u64 = 1024;

/// A method, what it is sent, and the answer: a code and a part of its text.
struct Bomb {
    method: &'static str,
    message: Vec<u8>,
    answer: (Code, &'static str),
}

fn bombs() -> Vec<Bomb> {
    let bomb = |method, message, answer| Bomb { method, message, answer };
    // Repeated messages or texts of nothing, or a single message merged as often.
    let empty = |tag: u8| [tag << 3 | 2, 0].repeat(MESSAGE_BYTES / 2);
    let long = |tag: u8, content: &[u8]| [&[tag << 3 | 2][..], &varint(content.len()), content].concat();
    let filler = vec![b'x'; MESSAGE_BYTES - 64];
    // Groups of a field that nobody knows, one inside the other.
    let nested = vec![15 << 3 | 3; MESSAGE_BYTES];
    let endless = (Code::InvalidArgument, "send at most 50000 in one call");
    let unreadable = (Code::Internal, "failed to decode Protobuf message");
    vec![
        bomb("/spire.api.server.svid.v1.SVID/BatchNewX509SVID", empty(1), endless),
        bomb("/spire.api.server.svid.v1.SVID/BatchNewWITSVID", empty(1), endless),
        bomb("/spire.api.server.svid.v1.SVID/BatchNewX509SVID", nested.clone(), unreadable),
        bomb("/spire.api.server.svid.v1.SVID/NewJWTSVID", empty(2), (Code::NotFound, "entry not found")),
        bomb("/spire.api.server.svid.v1.SVID/NewJWTSVID", long(1, &filler), (Code::NotFound, "entry not found")),
        bomb(
            "/spire.api.server.entry.v1.Entry/SyncAuthorizedEntries",
            empty(2),
            (Code::InvalidArgument, "specifying IDs on initial request is not supported"),
        ),
        bomb("/spire.api.server.entry.v1.Entry/SyncAuthorizedEntries", nested.clone(), unreadable),
        bomb("/spire.api.server.entry.v1.Entry/GetAuthorizedEntries", empty(1), (Code::Ok, "")),
        bomb("/spire.api.server.bundle.v1.Bundle/GetBundle", empty(1), (Code::Ok, "")),
        bomb(
            "/spire.api.server.agent.v1.Agent/PostStatus",
            long(2, &filler),
            (Code::InvalidArgument, "agent version is too long"),
        ),
        bomb("/spire.api.server.agent.v1.Agent/RenewAgent", long(1, &long(1, &filler)), (Code::InvalidArgument, "CSR")),
        bomb(
            "/spire.api.server.agent.v1.Agent/AttestAgent",
            empty(1),
            (Code::InvalidArgument, "malformed param: missing attestation data"),
        ),
        bomb("/spire.api.server.agent.v1.Agent/PostStatus", nested, unreadable),
        bomb(
            "/steeple.agent.v1.Push/Sync",
            long(2, &empty(1)[..MESSAGE_BYTES - 64]),
            (Code::InvalidArgument, "the first message is no hello"),
        ),
    ]
}

/// Protobuf's form of a length.
fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[tokio::test]
async fn an_agents_largest_messages_are_answered_and_the_leader_stays() {
    let cast = Cast::assemble().await;
    let leader = &cast.cluster.servers[cast.cluster.leader().await.expect("a leader")];
    let term = leader.admin().status().await.expect("a status").term;
    let process = leader.process().expect("it runs");
    let before = process.peak_mib().expect("a peak");
    let agent = cast.channel_of("agent", &leader.api_address());
    for Bomb { method, message, answer: (code, text) } in bombs() {
        let calls = (0..AT_ONCE).map(|_| raw_call(agent.clone(), method, &[], framed(&message)));
        let answers = tokio::time::timeout(ANSWER_MAX, join_all(calls)).await.expect("answers");
        for status in answers {
            let status = status.expect("a status");
            assert!(status.code() == code && status.message().contains(text), "{method}: {status:?}");
        }
    }
    let grown = process.peak_mib().expect("a peak") - before;
    println!("{before} MiB before, {grown} MiB more at the worst moment");
    assert!(grown <= MEMORY_MIB_MAX, "the leader took {grown} MiB");
    let known = leader.admin().agent_ids("join_token").await.expect("a list, which asks a quorum");
    assert!(!known.is_empty());
    for server in &cast.cluster.servers {
        assert_eq!(server.admin().status().await.expect("a status").term, term, "{} has another leader", server.name());
    }
}
