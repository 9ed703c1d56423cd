//! `import publish`: agents of an old server learn from it to trust this one, before they are moved.

use std::io::Write as _;
use std::path::Path;

use serde_json::json;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::server::bundle::{AppendBundleRequest, GetBundleRequest};
use steeple_api::types;
use steeple_cli::{Call, Context, Failure, connect, one_line};
use tonic::transport::Channel;

use crate::cli::offline::required;

pub(super) async fn publish(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let ours = BundleClient::new(channel).get_bundle(GetBundleRequest::default()).await;
    let ours = ours.context("could not get this server's bundle")?.into_inner();
    let to = required(&call.values, "to", "the admin socket of the old server")?;
    let mut old = BundleClient::new(connect(Path::new(to)));
    let theirs = old.get_bundle(GetBundleRequest::default()).await;
    let theirs = theirs.context("could not get the bundle of the old server")?.into_inner();
    if ours.trust_domain != theirs.trust_domain {
        return Err(Failure::Message(format!(
            "the old server is of trust domain {}, this one of {}: name a server of the same trust domain",
            theirs.trust_domain, ours.trust_domain
        )));
    }
    let missing = missing(&ours, &theirs);
    let (roots, keys) = (missing.x509_authorities.len(), missing.jwt_authorities.len());
    if roots + keys > 0 {
        old.append_bundle(missing).await.context("the old server did not take the authorities")?;
    }
    if call.is_json() {
        let counts = json!({"published_x509_authorities": roots, "published_jwt_authorities": keys});
        return Ok(writeln!(call.streams.stdout, "{}", one_line(counts))?);
    }
    let out = &mut call.streams.stdout;
    match roots + keys {
        0 => writeln!(out, "The old server knows all authorities of this one already.")?,
        _ => writeln!(
            out,
            "Published {roots} X.509 and {keys} JWT authorities. Agents learn of them with their next sync, and \
             workloads from their agents."
        )?,
    }
    Ok(())
}

fn missing(ours: &types::Bundle, theirs: &types::Bundle) -> AppendBundleRequest {
    let roots = ours
        .x509_authorities
        .iter()
        .filter(|root| !root.tainted && !theirs.x509_authorities.iter().any(|known| known.asn1 == root.asn1));
    let keys = ours
        .jwt_authorities
        .iter()
        .filter(|key| !key.tainted && !theirs.jwt_authorities.iter().any(|known| known.key_id == key.key_id));
    AppendBundleRequest {
        x509_authorities: roots.cloned().collect(),
        jwt_authorities: keys.cloned().collect(),
        ..AppendBundleRequest::default()
    }
}
