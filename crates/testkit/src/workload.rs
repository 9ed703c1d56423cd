//! The Workload API, as a workload that watches its X.509-SVIDs uses it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_api::workload::{X509svidRequest, X509svidResponse};
use steeple_transport::client::uds_channel;
use tonic::metadata::MetadataValue;
use tonic::{Request, Streaming};

/// SPIFFE Workload API, section 6.1.
const SECURITY_HEADER: &str = "workload.spiffe.io";

/// An open FetchX509SVID stream.
#[derive(Debug)]
pub struct WorkloadStream {
    updates: Streaming<X509svidResponse>,
}

impl WorkloadStream {
    /// Opens the stream; the first update is the answer to it.
    pub async fn open(socket: &Path) -> anyhow::Result<Self> {
        let mut request = Request::new(X509svidRequest {});
        request.metadata_mut().insert(SECURITY_HEADER, MetadataValue::from_static("true"));
        let mut client = SpiffeWorkloadApiClient::new(uds_channel(socket));
        let updates = client.fetch_x509svid(request).await.context("FetchX509SVID")?.into_inner();
        Ok(Self { updates })
    }

    pub async fn next(&mut self) -> anyhow::Result<X509svidResponse> {
        self.updates.message().await?.context("the agent ended the stream")
    }

    /// The first update that has an SVID for `spiffe_id`.
    pub async fn wait_for(&mut self, spiffe_id: &str, limit: Duration) -> anyhow::Result<X509svidResponse> {
        let has_it = async {
            loop {
                let update = self.next().await?;
                if update.svids.iter().any(|svid| svid.spiffe_id == spiffe_id) {
                    return Ok(update);
                }
            }
        };
        match tokio::time::timeout(limit, has_it).await {
            Ok(update) => update,
            Err(_) => bail!("no SVID for {spiffe_id} on the open stream within {} s", limit.as_secs()),
        }
    }
}
