//! `daemon_mode = false`: every file once.

use std::time::Duration;

use tonic::{Code, Status};

use super::write::{WriteError, Writer};
use crate::workload_client::first;

/// Fails with the first file that cannot be written.
pub(super) async fn write_once(mut writer: Writer<'_>) -> Result<(), WriteError> {
    let settings = writer.settings;
    if let Some(places) = &settings.x509 {
        let response = patiently(async || first(writer.open_x509().await).await).await?;
        writer.write_x509(response, places)?;
        tracing::info!("Successfully fetched x509 certificates");
    }
    if let Some(place) = &settings.jwt_bundle {
        let response = patiently(async || first(writer.open_jwt_bundles().await).await).await?;
        writer.write_jwt_bundles(&response, place)?;
        tracing::info!("Successfully fetched JWT bundle");
    }
    for place in &settings.jwt_svids {
        let fetched = patiently(async || writer.fetch_jwt(place).await).await?;
        writer.write_jwt(fetched, place)?;
        tracing::info!("Successfully fetched JWT SVIDs");
    }
    Ok(())
}

/// An entry that was just made may not have reached the agent.
async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, Status>) -> Result<T, Status> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS_MAX {
        match ask().await {
            Err(status) if status.code() == Code::PermissionDenied => {
                tracing::debug!(retry_interval = ?pause, "No identity yet; retrying");
                tokio::time::sleep(pause).await;
                pause = (pause * 5).min(PAUSE_MAX);
            }
            outcome => return outcome,
        }
    }
    ask().await
}

/// Spiffe-helper's, whose last pause is longer than an hour.
const ATTEMPTS_MAX: usize = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(30);
