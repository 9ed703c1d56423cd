//! A call of whatever bytes, by no generated client.

use anyhow::Context as _;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::transport::Channel;

/// How a call of the method at `path` ends, with `headers` beside gRPC's own. `body` is framed already.
pub async fn raw_call(
    mut channel: Channel,
    path: &str,
    headers: &[(&str, &str)],
    body: Body,
) -> anyhow::Result<Status> {
    let mut request = Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    std::future::poll_fn(|context| channel.poll_ready(context)).await?;
    let response = channel.call(request.body(body)?).await?;
    if let Some(status) = Status::from_header_map(response.headers()) {
        return Ok(status);
    }
    let answer = response.into_body().collect().await?;
    answer.trailers().and_then(Status::from_header_map).context("the call ends without a status")
}

/// One message in gRPC's framing.
pub fn framed(message: &[u8]) -> Body {
    let length = u32::try_from(message.len()).expect("a message of less than 4 GiB").to_be_bytes();
    Body::new(Full::new(Bytes::from([&[0][..], &length, message].concat())))
}
