//! `spire.plugin.server.bundlepublisher.v1.BundlePublisher`, and `spire.plugin.server.notifier.v1.Notifier`, which is
//! told of the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use steeple_api::external::bundlepublisher::PublishBundleRequest;
use steeple_api::external::bundlepublisher::bundle_publisher_client::BundlePublisherClient;
use steeple_api::external::notifier::notifier_client::NotifierClient;
use steeple_api::external::notifier::{
    BundleLoaded, BundleUpdated, NotifyAndAdviseRequest, NotifyRequest, notify_and_advise_request, notify_request,
};
use steeple_api::external::types;
use steeple_core::plugin::{BoxFuture, BundlePublisher, PublishError, PublishPlace};
use steeple_core::{Bundle, JwtAuthority};
use tonic::Status;

use super::Plugin;
use super::plugin::go_text;

pub struct ExternalBundlePublisher(pub Arc<Plugin>);

/// SPIRE's Notifier hears of two things: the bundle when the server begins, and each change of it.
pub struct ExternalNotifier {
    plugin: Arc<Plugin>,
    has_begun: AtomicBool,
}

impl ExternalBundlePublisher {
    pub const INTERFACE: &'static str = "spire.plugin.server.bundlepublisher.v1.BundlePublisher";
}

impl BundlePublisher for ExternalBundlePublisher {
    fn name(&self) -> &str {
        &self.0.program().name
    }

    /// Where it writes is not known, and one writer is enough for what all share.
    fn place(&self) -> PublishPlace {
        PublishPlace::Shared
    }

    fn publish<'a>(&'a self, bundle: &'a Bundle) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async move {
            let mut client = BundlePublisherClient::new(self.0.channel());
            let request = PublishBundleRequest { bundle: Some(bundle_to_wire(bundle)) };
            let published = self.0.call("PublishBundle", client.publish_bundle(request)).await;
            published.map(|_| ()).map_err(|status| failed(&status))
        })
    }
}

impl ExternalNotifier {
    pub const INTERFACE: &'static str = "spire.plugin.server.notifier.v1.Notifier";

    pub fn new(plugin: Arc<Plugin>) -> Self {
        Self { plugin, has_begun: AtomicBool::new(false) }
    }

    async fn notify(&self, bundle: types::Bundle) -> Result<(), Status> {
        let mut client = NotifierClient::new(self.plugin.channel());
        let bundle = Some(bundle);
        if self.has_begun.load(Ordering::Acquire) {
            let event = Some(notify_request::Event::BundleUpdated(BundleUpdated { bundle }));
            self.plugin.call("Notify", client.notify(NotifyRequest { event })).await?;
        } else {
            let event = Some(notify_and_advise_request::Event::BundleLoaded(BundleLoaded { bundle }));
            let told = client.notify_and_advise(NotifyAndAdviseRequest { event });
            self.plugin.call("NotifyAndAdvise", told).await?;
            self.has_begun.store(true, Ordering::Release);
        }
        Ok(())
    }
}

impl BundlePublisher for ExternalNotifier {
    fn name(&self) -> &str {
        &self.plugin.program().name
    }

    fn place(&self) -> PublishPlace {
        PublishPlace::Shared
    }

    fn publish<'a>(&'a self, bundle: &'a Bundle) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async move { self.notify(bundle_to_wire(bundle)).await.map_err(|status| failed(&status)) })
    }
}

fn failed(status: &Status) -> PublishError {
    PublishError(go_text(status))
}

pub(super) fn bundle_to_wire(bundle: &Bundle) -> types::Bundle {
    let x509 = bundle.x509_authorities.iter();
    let x509 = x509.map(|root| types::X509Certificate { asn1: root.der.clone(), tainted: root.tainted });
    let wit = bundle.wit_authorities.iter().map(|key| types::WitKey {
        public_key: key.public_key.clone(),
        key_id: key.key_id.clone(),
        expires_at: key.expires_at,
        tainted: key.tainted,
    });
    types::Bundle {
        trust_domain: bundle.trust_domain.name().to_owned(),
        x509_authorities: x509.collect(),
        jwt_authorities: bundle.jwt_authorities.iter().map(jwt_key_to_wire).collect(),
        refresh_hint: bundle.refresh_hint,
        sequence_number: bundle.sequence,
        wit_authorities: wit.collect(),
    }
}

pub(super) fn jwt_key_to_wire(key: &JwtAuthority) -> types::JwtKey {
    types::JwtKey {
        public_key: key.public_key.clone(),
        key_id: key.key_id.clone(),
        expires_at: key.expires_at,
        tainted: key.tainted,
    }
}
