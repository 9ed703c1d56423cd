//! SVID stores: one contract for all, and what a store that is a program of its own may do besides.

mod contract;
mod external;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use steeple_core::plugin::{Configurable as _, ExternalProgram, StoredSvid, SvidStore};
use steeple_core::{Bundle, Secret, SpiffeId, Timestamp, TrustDomain, X509Authority};
use steeple_plugins::external::{Bounds, Catalog, ExternalSvidStore, HostServices};
use steeple_testkit::GoPlugins;

/// An SVID with everything that belongs to it; what is in the certificates is nothing to a store.
struct Sample {
    spiffe_id: SpiffeId,
    chain: Vec<Vec<u8>>,
    key: Secret,
    own: Bundle,
    other: Bundle,
}

impl Sample {
    /// `version` tells one from another.
    fn new(version: &str) -> Self {
        let bytes = |what: &str| format!("{what} {version}").into_bytes();
        let bundle = |domain: &str, root: &str| {
            let roots = [root, "second root"].map(|root| X509Authority { der: bytes(root), tainted: false });
            let trust_domain = TrustDomain::parse(domain).expect("a trust domain");
            Bundle { x509_authorities: roots.to_vec(), ..Bundle::empty(trust_domain) }
        };
        Self {
            spiffe_id: SpiffeId::parse("spiffe://example.org/web").expect("an ID"),
            chain: vec![bytes("leaf"), bytes("intermediate")],
            key: Secret::new(bytes("key")),
            own: bundle("example.org", "root"),
            other: bundle("other.org", "their root"),
        }
    }

    async fn put(&self, store: &dyn SvidStore, values: &[String], is_federated: bool) {
        self.try_put(store, values, is_federated).await.expect("it is put");
    }

    async fn try_put(
        &self,
        store: &dyn SvidStore,
        values: &[String],
        is_federated: bool,
    ) -> Result<(), steeple_core::plugin::StoreError> {
        let federated: &[&Bundle] = if is_federated { &[&self.other] } else { &[] };
        let Self { spiffe_id, chain, key, own, .. } = self;
        let expires_at = Timestamp::from_secs(EXPIRES_AT);
        store.put(values, StoredSvid { spiffe_id, expires_at, chain, key, bundle: own, federated }).await
    }

    /// What somebody who looks at the place should find there.
    fn found(&self, is_federated: bool) -> Found {
        let roots = |bundle: &Bundle| bundle.x509_authorities.iter().map(|root| root.der.clone()).collect::<Vec<_>>();
        Found {
            chain: self.chain.clone(),
            key: self.key.expose().to_vec(),
            bundle: roots(&self.own),
            federated: is_federated.then(|| roots(&self.other).concat()),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
    bundle: Vec<Vec<u8>>,
    /// Of `other.org`, one after the other.
    federated: Option<Vec<u8>>,
}

/// A store on the published SDK, which keeps files in `dir`. To be kept: its program ends with the catalog.
async fn external(plugins: &GoPlugins, dir: &Path, call: Duration) -> (Catalog, Arc<ExternalSvidStore>) {
    let trust_domain = TrustDomain::parse("example.org").expect("a trust domain");
    let bounds = Bounds { call, ..Bounds::default() };
    let catalog = Catalog::new(trust_domain, HostServices::default()).with_bounds(bounds);
    let path = plugins.path("svidstore");
    let program =
        ExternalProgram { kind: "SVIDStore".into(), name: "shelf".into(), path, args: Vec::new(), sha256: None };
    let plugin = catalog.load(&program, ExternalSvidStore::INTERFACE).await.expect("it is loaded");
    let settings = format!("directory = {dir:?}");
    Arc::clone(&plugin).configure(Some(settings)).await.expect("it takes them");
    (catalog, Arc::new(ExternalSvidStore(plugin)))
}

/// What the external store has in the file of that name.
fn shelved(dir: &Path, name: &str) -> Option<serde_json::Value> {
    let path: PathBuf = dir.join(name);
    Some(serde_json::from_slice(&std::fs::read(path).ok()?).expect("JSON"))
}

const EXPIRES_AT: i64 = 1_800_000_000;
