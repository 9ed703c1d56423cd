//! `spire.api.server.bundle.v1.Bundle`.

use steeple_api::server::bundle::*;
use steeple_api::types;
use steeple_telemetry::log::Fields;

use super::{Facts, decoded, items, put, put_hash, put_some};

pub(super) fn facts(method: &str, asked: &[u8], answered: &[u8]) -> Facts {
    let mut fields = Fields::new();
    let known = &mut fields;
    match method {
        "Bundle/GetBundle" => put_some(known, "trust_domain_id", &decoded::<types::Bundle>(answered).trust_domain),
        "Bundle/AppendBundle" => {
            let request = decoded::<AppendBundleRequest>(asked);
            put_authorities(known, "", &request.x509_authorities, &request.jwt_authorities);
        }
        "Bundle/PublishJWTAuthority" => {
            if let Some(key) = decoded::<PublishJwtAuthorityRequest>(asked).jwt_authority {
                put_some(known, "jwt_authority_key_id", &key.key_id);
                put(known, "jwt_authority_expires_at", key.expires_at);
                put_hash(known, "jwt_authority_public_key_sha256", &key.public_key);
            }
        }
        "Bundle/GetFederatedBundle" => {
            put_some(known, "trust_domain_id", &decoded::<GetFederatedBundleRequest>(asked).trust_domain);
        }
        "Bundle/BatchCreateFederatedBundle" => {
            let asked = decoded::<BatchCreateFederatedBundleRequest>(asked).bundle;
            let answered = decoded::<BatchCreateFederatedBundleResponse>(answered).results;
            return items(asked, answered, |bundle, result| (of_bundle(&bundle), result.status.clone()));
        }
        "Bundle/BatchUpdateFederatedBundle" => {
            let asked = decoded::<BatchUpdateFederatedBundleRequest>(asked).bundle;
            let answered = decoded::<BatchUpdateFederatedBundleResponse>(answered).results;
            return items(asked, answered, |bundle, result| (of_bundle(&bundle), result.status.clone()));
        }
        "Bundle/BatchSetFederatedBundle" => {
            let asked = decoded::<BatchSetFederatedBundleRequest>(asked).bundle;
            let answered = decoded::<BatchSetFederatedBundleResponse>(answered).results;
            return items(asked, answered, |bundle, result| (of_bundle(&bundle), result.status.clone()));
        }
        "Bundle/BatchDeleteFederatedBundle" => {
            let request = decoded::<BatchDeleteFederatedBundleRequest>(asked);
            let mode = request.mode().as_str_name();
            let answered = decoded::<BatchDeleteFederatedBundleResponse>(answered).results;
            return items(request.trust_domains, answered, |trust_domain, result| {
                let mut fields = Fields::new();
                put(&mut fields, "trust_domain_id", trust_domain);
                put(&mut fields, "mode", mode);
                (fields, result.status.clone())
            });
        }
        _ => {}
    }
    Facts::Call(fields)
}

pub(super) fn of_bundle(bundle: &types::Bundle) -> Fields {
    let mut fields = Fields::new();
    put_bundle(&mut fields, "", bundle);
    fields
}

/// `prefix` stands before each name.
pub(super) fn put_bundle(fields: &mut Fields, prefix: &str, bundle: &types::Bundle) {
    put_some(fields, &format!("{prefix}trust_domain_id"), &bundle.trust_domain);
    put(fields, &format!("{prefix}refresh_hint"), bundle.refresh_hint);
    put(fields, &format!("{prefix}sequence_number"), bundle.sequence_number);
    put_authorities(fields, prefix, &bundle.x509_authorities, &bundle.jwt_authorities);
}

/// SPIRE numbers the fields of each authority.
fn put_authorities(fields: &mut Fields, prefix: &str, x509: &[types::X509Certificate], jwt: &[types::JwtKey]) {
    for (at, authority) in x509.iter().enumerate() {
        put_hash(fields, &format!("{prefix}x509_authorities_asn1_sha256.{at}"), &authority.asn1);
    }
    for (at, key) in jwt.iter().enumerate() {
        put(fields, &format!("{prefix}jwt_authority_expires_at.{at}"), key.expires_at);
        put_some(fields, &format!("{prefix}jwt_authority_key_id.{at}"), &key.key_id);
        put_hash(fields, &format!("{prefix}jwt_authority_public_key_sha256.{at}"), &key.public_key);
    }
}
