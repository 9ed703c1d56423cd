//! `trust_bundle_spiffe_workload_api`: the roots that another Workload API has for the trust domain.

use std::path::Path;
use std::time::Duration;

use steeple_api::workload::X509BundlesRequest;
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_ca::certificate;
use steeple_core::TrustDomain;
use steeple_transport::client::uds_channel;
use tonic::transport::{Channel, Endpoint};

use super::BootstrapError;
use crate::workload_api::with_security_header;

pub(super) async fn fetch_roots(address: &str, trust_domain: &TrustDomain) -> Result<Vec<Vec<u8>>, BootstrapError> {
    let failed = |reason: String| BootstrapError::WorkloadApi { address: address.to_owned(), reason };
    let mut client = SpiffeWorkloadApiClient::new(channel(address).map_err(failed)?);
    let first = async {
        let request = with_security_header(X509BundlesRequest {});
        client.fetch_x509_bundles(request).await?.into_inner().message().await
    };
    let answer = tokio::time::timeout(TIMEOUT, first).await.map_err(|_| failed(format!("no answer in {TIMEOUT:?}")))?;
    let bundles = answer.map_err(|status| failed(status.message().to_owned()))?.unwrap_or_default().bundles;
    let bundle = bundles
        .get(trust_domain.id().as_str())
        .ok_or_else(|| failed(format!("it did not provide a trust bundle for trust domain {trust_domain}")))?;
    certificate::split(bundle).ok_or_else(|| failed("its trust bundle is not a series of certificates".to_owned()))
}

/// The configuration checked the form: `unix:` with a path or `tcp:` with an IP address and a port.
fn channel(address: &str) -> Result<Channel, String> {
    let (scheme, rest) = address.split_once(':').unwrap_or_default();
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    match scheme {
        "unix" => Ok(uds_channel(Path::new(rest))),
        _ => {
            let endpoint = Endpoint::from_shared(format!("http://{rest}")).map_err(|error| error.to_string())?;
            Ok(endpoint.connect_lazy())
        }
    }
}

/// SPIRE's limit; the agent tries again.
const TIMEOUT: Duration = Duration::from_secs(60);
