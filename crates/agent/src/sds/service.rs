//! The service: attest, then pass requests and views to a session.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use steeple_api::envoy::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use steeple_api::envoy::sds::secret_discovery_service_server::SecretDiscoveryService;
use steeple_config::SdsSettings;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::Session;
use super::session::respond_once;
use crate::attest::WorkloadAttestors;
use crate::cache::{Cache, Views};
use crate::rate_limit::{CallerLimits, LimitedCall};

/// Unlike the Workload API it never denies: a workload without identity gets the own bundle (SPIRE behaviour).
pub struct SecretDiscovery {
    pub cache: Arc<Cache>,
    pub attestors: Arc<WorkloadAttestors>,
    pub limits: Arc<CallerLimits>,
    pub settings: Arc<SdsSettings>,
}

#[tonic::async_trait]
impl SecretDiscoveryService for SecretDiscovery {
    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<BoxStream<DiscoveryResponse>>, Status> {
        let caller = self.attestors.attest_caller(&request).await?;
        self.limits.check(LimitedCall::StreamSecrets, &caller.selectors)?;
        let views = Views::of(&self.cache, caller.selectors);
        let session = Session::new(Arc::clone(&self.settings));
        let (sender, responses) = mpsc::channel(RESPONSES_WAITING_MAX);
        tokio::spawn(async move {
            if let Err(status) = serve(session, views, request.into_inner(), &sender).await {
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }

    async fn fetch_secrets(&self, request: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        let caller = self.attestors.attest_caller(&request).await?;
        self.limits.check(LimitedCall::FetchSecrets, &caller.selectors)?;
        let mut views = Views::of(&self.cache, caller.selectors.clone());
        let view = tokio::time::timeout(COMPLETE_VIEW_TIMEOUT, views.next()).await;
        let view = view.unwrap_or_else(|_| self.cache.view(&caller.selectors));
        Ok(Response::new(respond_once(request.into_inner(), &self.settings, &view)?))
    }

    async fn delta_secrets(
        &self,
        _request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<BoxStream<DeltaDiscoveryResponse>>, Status> {
        Err(Status::unimplemented("Method is not implemented"))
    }
}

/// Until Envoy has nothing more to ask, which is a good end, or is gone.
async fn serve(
    mut session: Session,
    mut views: Views,
    mut requests: Streaming<DiscoveryRequest>,
    sender: &mpsc::Sender<Result<DiscoveryResponse, Status>>,
) -> Result<(), Status> {
    loop {
        let response = tokio::select! {
            // A view first: Envoy's first request is then answered even if it asks for nothing more.
            biased;
            () = sender.closed() => return Ok(()),
            view = views.next() => session.changed(view, nonce()?),
            request = requests.message() => match request? {
                Some(request) => session.received(request, nonce()?),
                None => return Ok(()),
            },
        };
        let response = response.inspect_err(|error| tracing::error!(%error, "Secrets refused"))?;
        if let Some(response) = response
            && sender.send(Ok(response)).await.is_err()
        {
            return Ok(());
        }
    }
}

/// Four random bytes in hexadecimal, as SPIRE's.
fn nonce() -> Result<String, Status> {
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Status::internal("the system has no random bytes"))?;
    Ok(format!("{:08x}", u32::from_be_bytes(bytes)))
}

/// Responses that wait for a slow Envoy: it gets the latest state, never a backlog.
const RESPONSES_WAITING_MAX: usize = 1;
/// How long a call outside a stream waits for SVIDs that are being issued, before it gets those that are there.
const COMPLETE_VIEW_TIMEOUT: Duration = Duration::from_secs(5);
