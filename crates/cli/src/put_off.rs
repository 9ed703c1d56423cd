//! Calls that a server puts off because it has too much to do.

use std::time::Duration;

use steeple_api::status::retry_delay;
use tonic::Status;

/// Makes a call, and makes it again as long as the server says when to come back: nothing of what it puts off took
/// effect. Each wait is one more of what the server says, up to [`TRIES_MAX`] calls.
pub async fn as_told<T>(mut call: impl AsyncFnMut() -> Result<T, Status>) -> Result<T, Status> {
    let mut tries = 1;
    loop {
        let status = match call().await {
            Ok(answer) => return Ok(answer),
            Err(status) => status,
        };
        match pause(&status, tries) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(status),
        }
        tries += 1;
    }
}

/// After `tries` calls; `None` where the status is the end of it.
fn pause(status: &Status, tries: u32) -> Option<Duration> {
    retry_delay(status).filter(|_| tries < TRIES_MAX).map(|delay| delay.saturating_mul(tries))
}

/// With the half second that a full queue takes: seven seconds in all, and then a person should know.
const TRIES_MAX: u32 = 6;

#[cfg(test)]
mod tests {
    use steeple_api::status::resource_exhausted_for;

    use super::*;

    #[tokio::test]
    async fn what_is_put_off_is_asked_again_and_nothing_else() {
        let moment = Duration::from_micros(10);
        let mut calls = 0;
        let answer = as_told(async || {
            calls += 1;
            if calls < TRIES_MAX { Err(resource_exhausted_for("full", moment)) } else { Ok(calls) }
        });
        assert_eq!(answer.await.unwrap(), TRIES_MAX);

        let mut calls = 0;
        let refused = as_told(async || {
            calls += 1;
            Err::<(), _>(Status::resource_exhausted("one backup at a time"))
        });
        assert_eq!((refused.await.unwrap_err().message().to_owned(), calls), ("one backup at a time".to_owned(), 1));

        let mut calls = 0;
        let refused = as_told(async || {
            calls += 1;
            Err::<(), _>(resource_exhausted_for("full", moment))
        });
        assert_eq!((refused.await.unwrap_err().message().to_owned(), calls), ("full".to_owned(), TRIES_MAX));
    }

    #[test]
    fn the_waits_grow() {
        let full = resource_exhausted_for("full", Duration::from_millis(500));
        let waits: Vec<_> = (1..=TRIES_MAX).map(|tries| pause(&full, tries).map(|wait| wait.as_millis())).collect();
        assert_eq!(waits, [Some(500), Some(1000), Some(1500), Some(2000), Some(2500), None]);
    }
}
