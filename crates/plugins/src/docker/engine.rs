//! The engine's API over its Unix socket; Podman serves the same one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use steeple_transport::client::{HttpsError, HttpsReply, get_over};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::inspect::{ContainerInspect, ImageInspect};
use crate::json::or_empty;

pub(super) struct Engine<'s> {
    socket: &'s Path,
    version: Option<&'s str>,
}

/// Why the engine did not tell.
#[derive(Debug, thiserror::Error)]
#[error("the container engine at unix://{}: {reason}", socket.display())]
pub struct EngineError {
    socket: PathBuf,
    #[source]
    reason: EngineReason,
}

#[derive(Debug, thiserror::Error)]
pub enum EngineReason {
    #[error("{0}")]
    Request(#[from] HttpsError),
    #[error("no complete answer within {} s", REQUEST_MAX.as_secs())]
    Timeout,
    #[error("{status}: {message}")]
    Status { status: StatusCode, message: String },
    #[error("unable to parse its answer: {0}")]
    Parse(#[from] serde_json::Error),
    #[error("it was asked for container {asked} and answered for {answered}")]
    AnotherContainer { asked: String, answered: String },
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default, deserialize_with = "or_empty")]
    message: String,
}

impl<'s> Engine<'s> {
    pub(super) fn new(socket: &'s Path, version: Option<&'s str>) -> Self {
        Self { socket, version }
    }

    /// Tried again a few times: an engine may answer late for a container that it has just started.
    pub(super) async fn container(&self, id: &str) -> Result<ContainerInspect, EngineError> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..RETRIES_MAX {
            match self.inspect_container(id).await {
                Ok(found) => return Ok(found),
                Err(reason) => tracing::debug!(container_id = id, %reason, "Container cannot be inspected yet"),
            }
            sleep(pause).await;
            pause *= 2;
        }
        self.inspect_container(id).await.map_err(|reason| self.failed(reason))
    }

    pub(super) async fn image(&self, name: &str) -> Result<ImageInspect, EngineError> {
        self.get(&format!("/images/{}/json", escaped(name))).await.map_err(|reason| self.failed(reason))
    }

    async fn inspect_container(&self, id: &str) -> Result<ContainerInspect, EngineReason> {
        let found: ContainerInspect = self.get(&format!("/containers/{}/json", escaped(id))).await?;
        // A matcher may find part of an ID, which the engine completes.
        if found.id.is_empty() || found.id.to_ascii_lowercase().starts_with(&id.to_ascii_lowercase()) {
            return Ok(found);
        }
        Err(EngineReason::AnotherContainer { asked: id.to_owned(), answered: found.id })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, EngineReason> {
        let version = self.version.map(|version| format!("/v{version}")).unwrap_or_default();
        let url = format!("http://localhost{version}{path}");
        let reply = timeout(REQUEST_MAX, self.ask(&url)).await.map_err(|_| EngineReason::Timeout)??;
        if reply.status != StatusCode::OK {
            let refusal: Refusal = serde_json::from_slice(&reply.body).unwrap_or_default();
            return Err(EngineReason::Status { status: reply.status, message: refusal.message });
        }
        Ok(serde_json::from_slice(&reply.body)?)
    }

    async fn ask(&self, url: &str) -> Result<HttpsReply, HttpsError> {
        let stream = UnixStream::connect(self.socket).await.map_err(HttpsError::Connect)?;
        get_over(stream, url, HeaderMap::new(), REPLY_BYTES_MAX).await
    }

    fn failed(&self, reason: EngineReason) -> EngineError {
        EngineError { socket: self.socket.to_owned(), reason }
    }
}

/// A name in a path: names of images have slashes, colons and an @, and nothing else that is special.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b':' | b'@' | b'.' | b'-' | b'_' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

/// All attempts together stay within the time that an attestor has.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// SPIRE's: 100, 200 and 400 ms.
const RETRIES_MAX: usize = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Labels and environment of one container; Linux passes a program at most 2 MiB of environment by default.
const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_their_place_in_the_path() {
        assert_eq!(escaped("reg.test:5000/a/b@sha256:0f"), "reg.test:5000/a/b@sha256:0f");
        assert_eq!(escaped("a?b#c d%é"), "a%3Fb%23c%20d%25%C3%A9");
    }
}
