//! The client's deadline, as gRPC sends it (gRPC over HTTP/2, "Timeout").

use std::future::Future;
use std::time::Duration;

use http::{HeaderMap, Response};
use tokio::time::{Instant, timeout_at};
use tonic::Status;

/// In the extensions of a request whose client set `grpc-timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// What is left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// A malformed header counts as none: the client keeps its own time anyway.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let timeout = parse(headers.get("grpc-timeout")?.as_bytes())?;
        Some(Self(Instant::now() + timeout.min(TIMEOUT_MAX)))
    }
}

/// Drops a call whose client has stopped waiting. Streaming bodies are not cut: clients reset those.
pub(super) async fn before<B: Default, E>(
    deadline: Option<Deadline>,
    call: impl Future<Output = Result<Response<B>, E>>,
) -> Result<Response<B>, E> {
    match deadline {
        None => call.await,
        Some(Deadline(at)) => match timeout_at(at, call).await {
            Ok(outcome) => outcome,
            Err(_) => Ok(Status::deadline_exceeded("context deadline exceeded").into_http()),
        },
    }
}

/// One to eight digits and a unit.
fn parse(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Far beyond any call, far within what the timer wheel can hold.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_grpc_allows() {
        assert_eq!(parse(b"1H"), Some(Duration::from_secs(3600)));
        assert_eq!(parse(b"99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(parse(b"0m"), Some(Duration::ZERO));
        assert_eq!(parse(b"250u"), Some(Duration::from_micros(250)));
        assert_eq!(parse(b"7n"), Some(Duration::from_nanos(7)));
        for bad in [&b""[..], b"S", b"1", b"1s", b"-1S", b"+1S", b"123456789S", b"1 S"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
