//! gRPC errors as grpc-go prints them, because scripts and people search for these texts.

use std::error::Error;
use std::io;

use steeple_core::rpc_code_name;
use tonic::Status;

use crate::DialError;
use crate::causes::causes;

/// `rpc error: code = NotFound desc = entry not found`.
pub fn rpc_error(status: &Status) -> String {
    if let Some(dial) = find_dial_error(status) {
        let text = dial.to_string().replace('"', "\\\"");
        return format!(
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: {text}\""
        );
    }
    let broken = broken_connection(status);
    let status = broken.as_ref().unwrap_or(status);
    format!("rpc error: code = {} desc = {}", rpc_code_name(status.code() as i32), status.message())
}

/// What grpc-go makes of a call whose connection broke; `None` if it has another end. tonic calls this `Unknown`.
pub fn broken_connection(status: &Status) -> Option<Status> {
    let broken = causes(status.source()?).any(|cause| {
        let by_http2 = |error: &h2::Error| error.is_io() || error.is_go_away();
        let by_hyper = |error: &hyper::Error| {
            let by_system = error.source().is_some_and(|source| source.is::<io::Error>());
            by_system || error.is_closed() || error.is_canceled() || error.is_incomplete_message() || error.is_timeout()
        };
        cause.downcast_ref().is_some_and(by_http2) || cause.downcast_ref().is_some_and(by_hyper)
    });
    broken.then(|| Status::unavailable("error reading from server: EOF"))
}

/// Whether nobody listened on the socket.
pub fn never_connected(status: &Status) -> bool {
    find_dial_error(status).is_some()
}

/// tonic wraps what the connector said in several layers of its own.
fn find_dial_error(status: &Status) -> Option<&DialError> {
    causes(status.source()?).find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call, made over a socket on which `answer` is the server's part.
    async fn call<F: Future<Output = ()>>(answer: impl FnOnce(tokio::net::UnixStream) -> F) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let mut client = tonic::client::Grpc::new(crate::connect(&path));
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let path = http::uri::PathAndQuery::from_static("/a.B/C");
        let calls = async {
            let mut messages = client.server_streaming(tonic::Request::new(()), path, codec).await?.into_inner();
            while messages.message().await?.is_some() {}
            Ok(())
        };
        let (outcome, ()): (Result<(), Status>, ()) = tokio::join!(calls, async {
            let (stream, _) = listener.accept().await.unwrap();
            answer(stream).await;
        });
        rpc_error(&outcome.unwrap_err())
    }

    #[tokio::test]
    async fn a_server_that_dies_is_told_as_grpc_go_tells_it() {
        let eof = "rpc error: code = Unavailable desc = error reading from server: EOF";
        assert_eq!(call(async |stream| drop(stream)).await, eof, "before it says anything");
        let in_the_call = async |stream| {
            let mut server = h2::server::handshake(stream).await.unwrap();
            server.accept().await.unwrap().unwrap();
        };
        assert_eq!(call(in_the_call).await, eof, "before it answers");
        let in_the_stream = async |stream| {
            let mut server = h2::server::handshake(stream).await.unwrap();
            let (_, mut respond) = server.accept().await.unwrap().unwrap();
            let response = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let mut body = respond.send_response(response, false).unwrap();
            body.send_data(vec![0; 5].into(), false).unwrap();
            // Writes what was sent.
            let written = std::future::poll_fn(|context| server.poll_closed(context));
            tokio::time::timeout(std::time::Duration::from_millis(200), written).await.unwrap_err();
        };
        assert_eq!(call(in_the_stream).await, eof, "between two messages");
    }

    #[test]
    fn the_form_of_grpc_go() {
        let status = Status::permission_denied("no identity issued");
        assert_eq!(rpc_error(&status), "rpc error: code = PermissionDenied desc = no identity issued");
        assert_eq!(rpc_error(&Status::cancelled("")), "rpc error: code = Canceled desc = ");
    }
}
