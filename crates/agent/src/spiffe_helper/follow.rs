//! Daemon mode: every file as long as the agent has something new for it.

use std::convert::Infallible;
use std::time::Duration;

use futures::future::join_all;
use steeple_api::workload::{JwtBundlesResponse, X509svidResponse};
use steeple_config::JwtSvidPlace;
use steeple_core::{Clock, SystemClock, Timestamp};
use tonic::Status;

use super::dependents::Dependents;
use super::write::{WriteError, Writer};
use crate::upstream::explained;
use crate::workload_client::watch;

/// The agent will never answer.
#[derive(Debug, thiserror::Error)]
#[error("watching {what}: {}", explained(.status))]
pub(super) struct Refused {
    what: &'static str,
    status: Box<Status>,
}

/// Ends only when the agent refuses for good.
pub(super) async fn follow(writer: Writer<'_>, dependents: Dependents) -> Result<(), Refused> {
    let tokens = async {
        join_all(writer.settings.jwt_svids.iter().map(|place| keep_jwt(writer.clone(), place))).await;
        Ok(())
    };
    tokio::try_join!(follow_x509(writer.clone(), dependents), follow_jwt_bundles(writer.clone()), tokens)?;
    Ok(())
}

async fn follow_x509(writer: Writer<'_>, mut dependents: Dependents) -> Result<(), Refused> {
    let Some(places) = &writer.settings.x509 else { return Ok(()) };
    tracing::info!("Watching for X509 Context");
    let mut opener = writer.clone();
    let told = async |update: Result<X509svidResponse, Status>| {
        match update {
            Err(status) => tracing::error!(error = explained(&status), "Error while watching x509 context"),
            Ok(response) => match writer.write_x509(response, places) {
                Err(error) => tracing::error!(%error, "Unable to dump bundle"),
                Ok(()) => {
                    tracing::info!("X.509 certificates updated");
                    dependents.renewed().await;
                }
            },
        }
        Ok::<(), Infallible>(())
    };
    let Ok(status) = watch(async || opener.open_x509().await, told).await;
    Err(Refused { what: "X.509 context", status: Box::new(status) })
}

async fn follow_jwt_bundles(writer: Writer<'_>) -> Result<(), Refused> {
    let Some(place) = &writer.settings.jwt_bundle else { return Ok(()) };
    tracing::info!("Watching for JWT Bundles");
    let mut opener = writer.clone();
    let told = async |update: Result<JwtBundlesResponse, Status>| {
        match update {
            Err(status) => tracing::error!(error = explained(&status), "Error while watching JWT bundles"),
            Ok(response) => match writer.write_jwt_bundles(&response, place) {
                Err(error) => tracing::error!(%error, "Error writing JWT Bundle to disk"),
                Ok(()) => tracing::info!("JWT bundle updated"),
            },
        }
        Ok::<(), Infallible>(())
    };
    let Ok(status) = watch(async || opener.open_jwt_bundles().await, told).await;
    Err(Refused { what: "JWT bundle updates", status: Box::new(status) })
}

/// Renews a token in the middle of the life that it has left.
async fn keep_jwt(mut writer: Writer<'_>, place: &JwtSvidPlace) -> Infallible {
    let mut pause = RETRY_PAUSE_MIN;
    loop {
        match renew_jwt(&mut writer, place).await {
            Ok(expires_at) => {
                tracing::info!("JWT SVID updated");
                pause = RETRY_PAUSE_MIN;
                let now = SystemClock.now();
                until(now.saturating_add(expires_at.since(now) / 2 + REFRESH_MARGIN)).await;
            }
            Err(error) => {
                tracing::error!(%error, "Unable to update JWT SVID");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_PAUSE_MAX);
            }
        }
    }
}

async fn renew_jwt(writer: &mut Writer<'_>, place: &JwtSvidPlace) -> Result<Timestamp, WriteError> {
    let fetched = writer.fetch_jwt(place).await?;
    writer.write_jwt(fetched, place)
}

/// Wall clocks are stepped and machines sleep: no timer is trusted for long.
async fn until(at: Timestamp) {
    loop {
        match at.since(SystemClock.now()) {
            Duration::ZERO => return,
            left => tokio::time::sleep(left.min(RECHECK_MAX)).await,
        }
    }
}

/// Spiffe-helper's.
const REFRESH_MARGIN: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);
const RECHECK_MAX: Duration = Duration::from_secs(30);
