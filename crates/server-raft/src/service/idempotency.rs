//! Idempotency keys: callers who want one thing done once send the same key, and whoever comes second is given the
//! outcome of the first. Two operators who begin the same rotation prepare one authority.

use aws_lc_rs::digest::{SHA256, digest};
use steeple_state::RequestId;
use tonic::{Request, Status};

/// In the metadata of a request; any text. It holds among the last requests that changed anything
/// (`steeple_state::limits::REQUESTS_MAX`).
pub const IDEMPOTENCY_KEY: &str = "steeple-idempotency-key";

/// The id of the command of that request, if it has a key. It is hashed with the name of what is done: nobody can
/// choose the id of another command, and be told its outcome.
pub fn request_id<T>(request: &Request<T>, action: &str) -> Result<Option<RequestId>, Status> {
    let Some(key) = request.metadata().get(IDEMPOTENCY_KEY) else { return Ok(None) };
    if key.as_encoded_bytes().len() > KEY_BYTES_MAX {
        return Err(Status::invalid_argument(format!("{IDEMPOTENCY_KEY} is longer than {KEY_BYTES_MAX} bytes")));
    }
    let named = [action.as_bytes(), b"\0", key.as_encoded_bytes()].concat();
    let hash = digest(&SHA256, &named);
    let mut id = RequestId::default();
    for (byte, hashed) in id.iter_mut().zip(hash.as_ref()) {
        *byte = *hashed;
    }
    Ok(Some(id))
}

const KEY_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(key: &str) -> Request<()> {
        let mut request = Request::new(());
        request.metadata_mut().insert(IDEMPOTENCY_KEY, key.parse().unwrap());
        request
    }

    #[test]
    fn one_key_is_one_request_for_one_action() {
        let id = |key: &str, action| request_id(&asked(key), action).unwrap().unwrap();
        assert_eq!(id("a", "prepare"), id("a", "prepare"));
        assert_ne!(id("a", "prepare"), id("b", "prepare"));
        assert_ne!(id("a", "prepare"), id("a", "activate"));
        assert_eq!(request_id(&Request::new(()), "prepare").unwrap(), None);
        let long = request_id(&asked(&"k".repeat(257)), "prepare").unwrap_err();
        assert_eq!(long.message(), "steeple-idempotency-key is longer than 256 bytes");
    }
}
