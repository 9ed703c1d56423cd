//! Pages, filters and batches as every call has them.

use steeple_api::convert::{ConvertError, UnhandledMatch};
use steeple_state::view::{PageRequest, TokenError};
use tonic::Status;

/// Zero and negative sizes mean everything at once (SPIRE behaviour: several commands rely on it).
pub fn page(size: i32, token: &str) -> PageRequest<'_> {
    match usize::try_from(size) {
        Ok(size) if size > 0 => PageRequest { size: size.min(PAGE_ITEMS_MAX), token },
        _ => PageRequest::ALL,
    }
}

/// `what` is SPIRE's outer text, `whose` its name for the filter, with a blank, or nothing.
pub fn unhandled(what: &str, whose: &str) -> impl FnOnce(UnhandledMatch) -> Status {
    move |number| Status::internal(format!("{what}: datastore-sql: unhandled {whose}match behavior {number}"))
}

/// `what` is SPIRE's outer text. A token that was never given out is `Internal` everywhere.
pub fn bad_token(what: &str) -> impl FnOnce(TokenError) -> Status {
    move |error| Status::internal(format!("{what}: {error}"))
}

/// "outer: inner", SPIRE's convention for errors.
pub fn invalid(what: &str, error: &ConvertError) -> Status {
    Status::invalid_argument(format!("{what}: {error}"))
}

/// SPIRE has no bound but the message's, in which there is room for two million items of nothing.
pub fn refuse_endless(items: usize) -> Result<(), Status> {
    if items <= BATCH_ITEMS_MAX {
        return Ok(());
    }
    let why = format!("a batch of {items} items; send at most {BATCH_ITEMS_MAX} in one call");
    Err(Status::invalid_argument(why))
}

/// More would not fit into a client's 4 MiB message with any likely entry.
const PAGE_ITEMS_MAX: usize = 10_000;
/// More than fit into a message when each says anything.
const BATCH_ITEMS_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_long_as_asked_for_and_never_longer_than_a_message() {
        for (asked, given) in [(1, 1), (10_000, PAGE_ITEMS_MAX), (i32::MAX, PAGE_ITEMS_MAX)] {
            assert_eq!(page(asked, "token"), PageRequest { size: given, token: "token" });
        }
        for asked in [0, -1, i32::MIN] {
            assert_eq!(page(asked, "token"), PageRequest::ALL);
        }
    }
}
