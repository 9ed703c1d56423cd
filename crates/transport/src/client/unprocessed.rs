//! Which failed calls may be repeated without asking what they do.

use std::error::Error;

use super::DialError;
use crate::causes::causes;

/// Whether a call failed (`error` is usually a [`tonic::Status`]) before any server acted on it, so that repeating it
/// cannot do anything twice: no server could be dialled, or the call met a connection that was just being closed.
///
/// The second happens whenever a connection reaches its age. grpc-go repeats such calls by itself, tonic reports them
/// as `Cancelled` or `Unavailable`.
pub fn is_unprocessed(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        // hyper's HTTP/2 client says "canceled" only for a request that was still in its queue.
        cause.is::<DialError>()
            || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
            || cause.downcast_ref::<h2::Error>().is_some_and(beyond_last_stream)
    })
}

/// RFC 9113, section 8.7: streams above a GOAWAY's last one, and refused streams, were not processed.
fn beyond_last_stream(error: &h2::Error) -> bool {
    let going = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (going || refused)
}
