//! Messages to agents are encoded before they reach tonic, so that many streams can share one.

use bytes::{BufMut as _, Bytes};
use prost::Message as _;
use steeple_api::steeple::agent::from_server::Kind;
use steeple_api::steeple::agent::{FromAgent, FromServer};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Of a [`FromServer`].
pub fn encoded(kind: Kind) -> Bytes {
    FromServer { kind: Some(kind) }.encode_to_vec().into()
}

#[derive(Default)]
pub struct PushCodec;

pub struct FromAgentDecoder;

pub struct EncodedEncoder;

impl Codec for PushCodec {
    type Encode = Bytes;
    type Decode = FromAgent;
    type Encoder = EncodedEncoder;
    type Decoder = FromAgentDecoder;

    fn encoder(&mut self) -> EncodedEncoder {
        EncodedEncoder
    }

    fn decoder(&mut self) -> FromAgentDecoder {
        FromAgentDecoder
    }
}

impl Encoder for EncodedEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for FromAgentDecoder {
    type Item = FromAgent;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<FromAgent>, Status> {
        FromAgent::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
