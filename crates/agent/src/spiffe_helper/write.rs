//! From the agent's answers to files.

use std::io;

use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_api::workload::{
    JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse, X509svidRequest, X509svidResponse,
};
use steeple_config::{FilePlace, JwtSvidPlace, SpiffeHelperSettings, X509Places};
use steeple_core::{Clock, SystemClock, Timestamp};
use steeple_files::{FileContent, write_together};
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use super::content::{ContentError, jwt_bundles_content, jwt_content, x509_contents};
use super::written::Written;
use crate::upstream::explained;
use crate::workload_api::with_security_header;
use crate::workload_client::{first, parse};

/// Why files are not up to date.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Names the file.
    #[error(transparent)]
    Write(#[from] io::Error),
    #[error("{}", explained(.0))]
    Fetch(Box<Status>),
}

/// Asks the agent and writes what it answers.
#[derive(Clone)]
pub(super) struct Writer<'s> {
    pub settings: &'s SpiffeHelperSettings,
    pub api: SpiffeWorkloadApiClient<Channel>,
    pub written: Written,
}

impl Writer<'_> {
    pub(super) async fn open_x509(&mut self) -> Result<Response<Streaming<X509svidResponse>>, Status> {
        self.api.fetch_x509svid(with_security_header(X509svidRequest {})).await
    }

    pub(super) async fn open_jwt_bundles(&mut self) -> Result<Response<Streaming<JwtBundlesResponse>>, Status> {
        self.api.fetch_jwt_bundles(with_security_header(JwtBundlesRequest {})).await
    }

    /// A token, and the keys that vouch for it.
    pub(super) async fn fetch_jwt(
        &mut self,
        place: &JwtSvidPlace,
    ) -> Result<(JwtsvidResponse, JwtBundlesResponse), Status> {
        let request = JwtsvidRequest { audience: place.audience.clone(), spiffe_id: String::new() };
        let svids = self.api.fetch_jwtsvid(with_security_header(request)).await?.into_inner();
        Ok((svids, first(self.open_jwt_bundles().await).await?))
    }

    pub(super) fn write_x509(&self, response: X509svidResponse, places: &X509Places) -> Result<(), WriteError> {
        let outcome = self.try_write_x509(response, places);
        self.written.x509(outcome.is_ok());
        outcome
    }

    fn try_write_x509(&self, response: X509svidResponse, places: &X509Places) -> Result<(), WriteError> {
        let svids = parse(response).map_err(ContentError::from)?;
        for svid in &svids.svids {
            tracing::info!(spiffe_id = %svid.id, "Received update");
        }
        let contents = x509_contents(&svids, places, self.settings.hint.as_deref(), SystemClock.now())?;
        // Whoever watches one file watches the certificate: it comes last.
        write_together(&[
            content(&places.bundle, contents.bundle.as_bytes()),
            content(&places.key, contents.key.expose()),
            content(&places.svid, contents.svid.as_bytes()),
        ])?;
        Ok(())
    }

    pub(super) fn write_jwt_bundles(&self, response: &JwtBundlesResponse, place: &FilePlace) -> Result<(), WriteError> {
        let outcome = jwt_bundles_content(response).map_err(WriteError::from).and_then(|text| {
            write_together(&[content(place, text.as_bytes())])?;
            Ok(())
        });
        self.written.jwt(&place.path, outcome.is_ok());
        outcome
    }

    /// Until when the token that was written is good.
    pub(super) fn write_jwt(
        &self,
        (svids, bundles): (JwtsvidResponse, JwtBundlesResponse),
        place: &JwtSvidPlace,
    ) -> Result<Timestamp, WriteError> {
        let hint = self.settings.hint.as_deref();
        let audience = &place.audience[..1];
        let chosen = jwt_content(svids, &bundles, audience, hint, SystemClock.now());
        let outcome = chosen.map_err(WriteError::from).and_then(|jwt| {
            write_together(&[content(&place.file, jwt.token.as_bytes())])?;
            Ok(jwt.expires_at)
        });
        self.written.jwt(&place.file.path, outcome.is_ok());
        outcome
    }
}

fn content<'c>(place: &'c FilePlace, content: &'c [u8]) -> FileContent<'c> {
    FileContent { path: &place.path, content, mode: place.mode }
}

impl From<Status> for WriteError {
    fn from(status: Status) -> Self {
        Self::Fetch(Box::new(status))
    }
}
