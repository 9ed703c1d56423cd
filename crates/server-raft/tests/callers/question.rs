//! One call of any method by anybody, and what the answer says of its authorization.

use std::time::Duration;

use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use steeple_api::status::denial_reason;
use steeple_api::types::permission_denied_details::Reason;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// A message that no type can be read from: whoever is let in is told so, and nothing is done.
pub const UNREADABLE: Message = Message(&[0x07]);
/// For a stock server, which reads messages before it asks who sends them, and for what comes after authorization.
pub const EMPTY: Message = Message(&[]);
/// What callers with limited rights hear on top: the role's place in the file of `every_caller`.
const NO_RULE: &str = "no rule of policy.hcl:2 allows it";
const CALL_MAX: Duration = Duration::from_secs(30);

/// What a caller hears, and what a cell says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    LetIn,
    Denied,
    DeniedBecause(Reason),
    Absent,
    NoConnection,
    /// The replica cannot know without the others.
    Unavailable,
    /// No cell says this.
    Other(Code, String),
}

/// What the holder of `channel` hears when it calls `method`.
pub async fn ask(channel: Channel, method: &str, message: Message) -> Answer {
    let outcome = call(channel, method, message).await;
    match outcome.map_or_else(|status| answer(method, &status), |()| Answer::LetIn) {
        // Whatever it says to a message that it has read, it has let the caller in.
        Answer::Other(..) | Answer::Unavailable if message == EMPTY => Answer::LetIn,
        answer => answer,
    }
}

/// The first message of the answer, or how the call ends without one.
pub async fn call(channel: Channel, method: &str, message: Message) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
    let mut request = Request::new(tokio_stream::once(()));
    request.set_timeout(CALL_MAX);
    let path = PathAndQuery::try_from(method).expect("a path");
    client.streaming(request, path, message).await?.into_inner().message().await.map(drop)
}

fn answer(method: &str, status: &Status) -> Answer {
    let text = status.message();
    match status.code() {
        // Made by the client, of an error of its own.
        _ if std::error::Error::source(status).is_some() => Answer::NoConnection,
        // Streams say in their own words that they were not understood.
        Code::Internal | Code::InvalidArgument if text.contains("failed to decode Protobuf message") => Answer::LetIn,
        Code::PermissionDenied if text == format!("authorization denied for method {method}") => {
            denial_reason(status).map_or(Answer::Denied, Answer::DeniedBecause)
        }
        Code::PermissionDenied if text == format!("authorization denied for method {method}; {NO_RULE}") => {
            Answer::Denied
        }
        Code::Unimplemented if text.starts_with("unknown service ") => Answer::Absent,
        Code::Unavailable => Answer::Unavailable,
        code => Answer::Other(code, text.to_owned()),
    }
}

/// Sends this, and reads whatever comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message(&'static [u8]);

impl Codec for Message {
    type Encode = ();
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Message {
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(self.0);
        Ok(())
    }
}

impl Decoder for Message {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}
