//! Calls that begin a message and never finish it, by a client that keeps to HTTP/2's windows.

use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Channel;

use crate::{Flooded, raw_call};

/// The largest message that gRPC takes.
const MESSAGE_BYTES: usize = 4 << 20;
const PIECE_BYTES: usize = 16 << 10;

impl Flooded {
    /// As many calls on one connection as `calls`, each of which sends all but the last byte of a message. How those
    /// end that the server does not keep; the others do with the set.
    pub fn unfinished(self, channel: &Channel, calls: usize) -> JoinSet<anyhow::Result<Status>> {
        let pieces = begun_message();
        let begin = |_| {
            let (channel, pieces) = (channel.clone(), pieces.clone());
            async move { raw_call(channel, self.waits, self.headers, never_whole(pieces)).await }
        };
        (0..calls).map(begin).collect()
    }
}

fn begun_message() -> Vec<Bytes> {
    let length = (MESSAGE_BYTES as u32).to_be_bytes();
    let begun = Bytes::from([&[0][..], &length, &vec![0; MESSAGE_BYTES - 1]].concat());
    let starts = (0..begun.len()).step_by(PIECE_BYTES);
    starts.map(|at| begun.slice(at..begun.len().min(at + PIECE_BYTES))).collect()
}

fn never_whole(pieces: Vec<Bytes>) -> Body {
    let pieces = tokio_stream::iter(pieces).chain(tokio_stream::pending());
    Body::new(StreamBody::new(pieces.map(|piece| Ok::<_, Status>(Frame::data(piece)))))
}
