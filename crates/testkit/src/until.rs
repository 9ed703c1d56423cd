//! Waiting for something that announces itself only to those who ask.

use std::fmt::Display;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep, timeout_at};

/// Short against everything that is waited for, long against the cost of asking over a Unix socket.
const PAUSE: Duration = Duration::from_millis(20);
const ANSWER_MIN: Duration = Duration::from_secs(10);

/// Asks until the answer is `Ok`; after `limit` fails with `what` and the last answer. One that does not come ends too.
pub async fn until<T, E: Display>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let give_up = Instant::now() + limit;
    let mut last = None;
    loop {
        // A slow machine is given one answer at least.
        let patience = give_up.max(Instant::now() + ANSWER_MIN);
        match timeout_at(patience, ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => last = Some(format!("{error:#}")),
            Err(_) => bail!("{what}: no answer within {:.1} s, the last one was {last:?}", limit.as_secs_f64()),
        }
        if Instant::now() >= give_up {
            bail!("{what}: not within {:.1} s: {}", limit.as_secs_f64(), last.unwrap_or_default())
        }
        sleep(PAUSE).await;
    }
}
