//! gRPC errors as grpc-go prints them, because scripts and people search for these texts.

use std::error::Error;

use steeple_core::rpc_code_name;
use tonic::Status;

use crate::DialError;

/// `rpc error: code = NotFound desc = entry not found`.
pub fn rpc_error(status: &Status) -> String {
    if let Some(dial) = find_dial_error(status) {
        let text = dial.to_string().replace('"', "\\\"");
        return format!(
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: {text}\""
        );
    }
    format!("rpc error: code = {} desc = {}", rpc_code_name(status.code() as i32), status.message())
}

/// tonic wraps what the connector said in several layers of its own.
fn find_dial_error(status: &Status) -> Option<&DialError> {
    let mut source: Option<&(dyn Error + 'static)> = status.source();
    while let Some(error) = source {
        if let Some(dial) = error.downcast_ref::<DialError>() {
            return Some(dial);
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_grpc_go() {
        let status = Status::permission_denied("no identity issued");
        assert_eq!(rpc_error(&status), "rpc error: code = PermissionDenied desc = no identity issued");
        assert_eq!(rpc_error(&Status::cancelled("")), "rpc error: code = Canceled desc = ");
    }
}
