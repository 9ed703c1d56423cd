//! Streams of the Workload API.

use std::time::Duration;

use tonic::{Code, Response, Status, Streaming};

/// The first message of a stream that was just opened.
pub async fn first<T>(opened: Result<Response<Streaming<T>>, Status>) -> Result<T, Status> {
    let message = opened?.into_inner().message().await?;
    message.ok_or_else(|| Status::unavailable("the agent ended the stream without an answer"))
}

/// Tells every message, and why the stream ended each time it did. It is opened anew after a pause, unless the agent
/// says that the request will never do: that status is returned. Ends early with an error of `told`.
pub async fn watch<T, E>(
    mut open: impl AsyncFnMut() -> Result<Response<Streaming<T>>, Status>,
    mut told: impl AsyncFnMut(Result<T, Status>) -> Result<(), E>,
) -> Result<Status, E> {
    let mut pause = PAUSE_MIN;
    loop {
        let status = match open().await {
            Err(status) => status,
            Ok(response) => {
                let mut stream = response.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => {
                            pause = PAUSE_MIN;
                            told(Ok(message)).await?;
                        }
                        Ok(None) => break Status::unavailable("the agent ended the stream"),
                        Err(status) => break status,
                    }
                }
            }
        };
        if status.code() == Code::InvalidArgument {
            return Ok(status);
        }
        told(Err(status)).await?;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Those of go-spiffe.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
