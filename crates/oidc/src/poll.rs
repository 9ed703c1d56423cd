//! Asking the source again and again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{KeySet, KeySource, SourceError};

/// Polls at once and then every `interval` until `stop`. A poll that fails leaves the keys as they are.
pub async fn poll(source: impl KeySource, interval: Duration, keys: &KeySet, stop: CancellationToken) {
    tracing::debug!(interval = %format_args!("{}s", interval.as_secs_f64()), "Polling started");
    let mut told: Option<String> = None;
    loop {
        let polled = tokio::select! {
            polled = tokio::time::timeout(POLL_MAX, source.fetch()) => polled,
            () = stop.cancelled() => break,
        };
        match polled {
            Ok(Ok(authorities)) => {
                told = None;
                keys.set(authorities);
            }
            Ok(Err(SourceError::NotReady(why))) if told.as_ref() == Some(&why) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "{}", error.heading());
                told = match error {
                    SourceError::NotReady(why) => Some(why),
                    _ => None,
                };
            }
            Err(_) => tracing::warn!("the source of the keys did not answer within {} s", POLL_MAX.as_secs()),
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => break,
        }
    }
    tracing::debug!("Polling done");
}

/// A source that hangs is asked anew.
const POLL_MAX: Duration = Duration::from_secs(30);
