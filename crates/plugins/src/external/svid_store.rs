//! `spire.plugin.agent.svidstore.v1.SVIDStore`.

use std::sync::Arc;

use steeple_api::external::svidstore::svid_store_client::SvidStoreClient;
use steeple_api::external::svidstore::{DeleteX509svidRequest, PutX509svidRequest, X509svid};
use steeple_core::Bundle;
use steeple_core::plugin::{BoxFuture, StoreError, StorePlace, StoredSvid, SvidStore};
use tonic::{Code, Status};

use super::Plugin;
use super::plugin::go_text;

pub struct ExternalSvidStore(pub Arc<Plugin>);

impl ExternalSvidStore {
    pub const INTERFACE: &'static str = "spire.plugin.agent.svidstore.v1.SVIDStore";
}

impl SvidStore for ExternalSvidStore {
    fn name(&self) -> &str {
        &self.0.program().name
    }

    /// What its values mean only the plugin knows: all of them together are the place.
    fn place(&self, values: &[String]) -> Result<StorePlace, StoreError> {
        Ok(StorePlace(values.to_vec()))
    }

    fn put<'a>(&'a self, values: &'a [String], svid: StoredSvid<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut client = SvidStoreClient::new(self.0.channel());
            let put = self.0.call("PutX509SVID", client.put_x509svid(request(values, svid))).await;
            put.map(|_| ()).map_err(|status| failed(&status))
        })
    }

    fn delete<'a>(&'a self, place: &'a StorePlace) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut client = SvidStoreClient::new(self.0.channel());
            let request = DeleteX509svidRequest { metadata: place.0.clone() };
            match self.0.call("DeleteX509SVID", client.delete_x509svid(request)).await {
                // Of values that it cannot use nothing was ever put (SPIRE behaviour).
                Err(status) if status.code() == Code::InvalidArgument => Ok(()),
                deleted => deleted.map(|_| ()).map_err(|status| failed(&status)),
            }
        })
    }
}

fn request(values: &[String], svid: StoredSvid<'_>) -> PutX509svidRequest {
    let StoredSvid { spiffe_id, expires_at, chain, key, bundle, federated } = svid;
    let federated = federated.iter().map(|bundle| (bundle.trust_domain.id().to_string(), roots(bundle).concat()));
    PutX509svidRequest {
        svid: Some(X509svid {
            spiffe_id: spiffe_id.to_string(),
            cert_chain: chain.to_vec(),
            private_key: key.expose().to_vec(),
            bundle: roots(bundle),
            expires_at: expires_at.as_secs(),
        }),
        metadata: values.to_vec(),
        federated_bundles: federated.collect(),
    }
}

/// DER.
fn roots(bundle: &Bundle) -> Vec<Vec<u8>> {
    bundle.x509_authorities.iter().map(|root| root.der.clone()).collect()
}

fn failed(status: &Status) -> StoreError {
    StoreError::Failed(go_text(status))
}
