//! `trust_bundle_spiffe_workload_api`: the roots that another Workload API has for the trust domain.

use std::time::Duration;

use steeple_api::workload::X509BundlesRequest;
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_ca::certificate;
use steeple_core::TrustDomain;

use super::BootstrapError;
use crate::workload_api::with_security_header;
use crate::workload_client::{channel, first};

pub(super) async fn fetch_roots(address: &str, trust_domain: &TrustDomain) -> Result<Vec<Vec<u8>>, BootstrapError> {
    let failed = |reason: String| BootstrapError::WorkloadApi { address: address.to_owned(), reason };
    let mut client = SpiffeWorkloadApiClient::new(channel(address).map_err(failed)?);
    let answer = async { first(client.fetch_x509_bundles(with_security_header(X509BundlesRequest {})).await).await };
    let answer =
        tokio::time::timeout(TIMEOUT, answer).await.map_err(|_| failed(format!("no answer in {TIMEOUT:?}")))?;
    let bundles = answer.map_err(|status| failed(status.message().to_owned()))?.bundles;
    let bundle = bundles
        .get(trust_domain.id().as_str())
        .ok_or_else(|| failed(format!("it did not provide a trust bundle for trust domain {trust_domain}")))?;
    certificate::split(bundle).ok_or_else(|| failed("its trust bundle is not a series of certificates".to_owned()))
}

/// SPIRE's limit; the agent tries again.
const TIMEOUT: Duration = Duration::from_secs(60);
