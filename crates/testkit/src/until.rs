//! Waiting for something that announces itself only to those who ask.

use std::fmt::Display;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

/// Short against everything that is waited for, long against the cost of asking over a Unix socket.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks until the answer is `Ok`; after `limit` fails with `what` and the last answer.
pub async fn until<T, E: Display>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let give_up = Instant::now() + limit;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() >= give_up => {
                bail!("{what}: not within {:.1} s: {error:#}", limit.as_secs_f64())
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
