//! The three formats, through the file.

use serde_json::Value;
use steeple_ca::jwks::parse_spiffe_bundle;
use steeple_core::Bundle;
use steeple_core::plugin::{BundlePublisher as _, PublishPlace};
use steeple_plugins::BundleFormat;
use steeple_plugins::bundle_publisher_file::{FilePublisher, PublishedFile};

use super::bundles::bundle;

async fn published(bundle: &Bundle, format: &str, refresh_hint: Option<i64>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let format = BundleFormat::from_name(format).unwrap();
    let publisher = FilePublisher::new(PublishedFile { path: path.clone(), format, refresh_hint });
    assert_eq!(publisher.place(), PublishPlace::Replica);
    publisher.publish(bundle).await.unwrap();
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_spiffe_document_has_everything_in_one_line() {
    let bundle = bundle(7);
    let text = published(&bundle, "SPIFFE", Some(600)).await;
    assert!(text.starts_with("{\"keys\":[{\"use\":\"x509-svid\",\"kty\":\"EC\",") && !text.contains('\n'), "{text}");
    assert!(text.ends_with("],\"spiffe_sequence\":7,\"spiffe_refresh_hint\":600}"), "{text}");
    let read = parse_spiffe_bundle(&bundle.trust_domain, text.as_bytes()).unwrap();
    assert_eq!((&read.x509_authorities, &read.jwt_authorities), (&bundle.x509_authorities, &bundle.jwt_authorities));
    let without = published(&bundle, "spiffe", None).await;
    assert!(!without.contains("spiffe_refresh_hint"), "{without}");
}

#[tokio::test]
async fn a_plain_key_set_has_nothing_of_spiffes_own() {
    let text = published(&bundle(7), "jwks", Some(600)).await;
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document.as_object().unwrap().keys().collect::<Vec<_>>(), ["keys"]);
    let keys = document["keys"].as_array().unwrap();
    assert_eq!((keys.len(), &keys[1]["kid"]), (2, &Value::from("jwt-1")));
    assert!(keys.iter().all(|key| key.get("use").is_none() && key["kty"] == "EC"), "{text}");
    assert!(keys[0]["x5c"][0].is_string() && keys[0].get("kid").is_none(), "{text}");
}

#[tokio::test]
async fn pem_has_the_roots_only() {
    let bundle = bundle(7);
    let text = published(&bundle, "pem", None).await;
    let blocks = pem::parse_many(&text).unwrap();
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0].contents(), bundle.x509_authorities[0].der);
    assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n") && text.ends_with("-----END CERTIFICATE-----\n"));
    assert_eq!(BundleFormat::from_name("der"), None);
}
