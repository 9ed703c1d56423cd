//! What belongs in which file.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use steeple_api::workload::{JwtBundlesResponse, JwtsvidResponse};
use steeple_ca::jwks::{JwksError, parse_jwt_bundle};
use steeple_ca::jwt::{JwtError, JwtKeySet, validate};
use steeple_ca::{SigningKey, certificate};
use steeple_cli::pem_text;
use steeple_config::X509Places;
use steeple_core::{Bundle, IdError, Secret, Timestamp, TrustDomain};

use crate::workload_client::{Certificate, Svid, Svids, SvidsError};

/// PEM, each.
pub(super) struct X509Contents {
    pub svid: String,
    pub key: Secret,
    pub bundle: String,
}

/// A token and when it ends.
pub(super) struct JwtContent {
    pub token: String,
    pub expires_at: Timestamp,
}

/// Why what the agent sent is not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ContentError {
    #[error(transparent)]
    Svids(#[from] SvidsError),
    #[error("failed to find the hinted {0}")]
    NoHinted(&'static str),
    #[error("the key does not belong to the certificate")]
    Key,
    #[error("Unable to parse or validate token: {0}")]
    Token(#[from] JwtError),
    #[error("bundle of {trust_domain:?}: {error}")]
    Bundle { trust_domain: String, error: JwksError },
    #[error("bundle of {trust_domain:?}: {error}")]
    TrustDomain { trust_domain: String, error: IdError },
}

/// The identity that `hint` names, or the first, with everything checked that its users will check.
pub(super) fn x509_contents(
    svids: &Svids,
    places: &X509Places,
    hint: Option<&str>,
    now: Timestamp,
) -> Result<X509Contents, ContentError> {
    let svid = hinted(&svids.svids, hint, |svid| &svid.hint).ok_or(ContentError::NoHinted("x509 SVID"))?;
    svid.verify(now)?;
    if !has_its_key(svid) {
        return Err(ContentError::Key);
    }
    let in_svid = if places.add_intermediates_to_bundle { 1 } else { svid.chain.len() };
    let (chain, intermediates) = svid.chain.split_at(in_svid.min(svid.chain.len()));
    let mut bundle: Vec<&Certificate> = svid.bundle.iter().chain(intermediates).collect();
    if places.include_federated_domains {
        bundle.extend(svids.federated.values().flatten());
    }
    let pem = |certificates: &mut dyn Iterator<Item = &Certificate>| -> String {
        let kept = certificates.filter(|certificate| !places.omit_expired || now <= certificate.not_after);
        kept.map(|certificate| pem_text("CERTIFICATE", &certificate.der)).collect()
    };
    Ok(X509Contents {
        svid: pem(&mut chain.iter()),
        key: Secret::new(pem_text("PRIVATE KEY", svid.key.expose()).into_bytes()),
        bundle: pem(&mut bundle.into_iter()),
    })
}

fn has_its_key(svid: &Svid) -> bool {
    let leaf = svid.chain.first().and_then(|leaf| certificate::facts(&leaf.der));
    let key = SigningKey::from_pkcs8(&svid.key);
    leaf.zip(key.ok()).is_some_and(|(leaf, key)| key.public_key().spki() == leaf.public_key)
}

/// A JSON object: the name of each trust domain with its key set in base64.
pub(super) fn jwt_bundles_content(response: &JwtBundlesResponse) -> Result<String, ContentError> {
    let mut members = BTreeMap::new();
    for (id, keys) in &response.bundles {
        let bundle = jwt_bundle(id, keys)?;
        // As go-spiffe prints it, without the line feeds of the agent.
        let compact = serde_json::from_slice::<Value>(keys).map(|keys| keys.to_string()).unwrap_or_default();
        members.insert(bundle.trust_domain.name().to_owned(), Value::String(STANDARD.encode(compact)));
    }
    Ok(Value::from_iter(members).to_string())
}

/// The token that `hint` names, or the first, if the keys vouch for it.
pub(super) fn jwt_content(
    response: JwtsvidResponse,
    bundles: &JwtBundlesResponse,
    audience: &[String],
    hint: Option<&str>,
    now: Timestamp,
) -> Result<JwtContent, ContentError> {
    let svid = hinted(&response.svids, hint, |svid| &svid.hint).ok_or(ContentError::NoHinted("JWT SVID"))?;
    let bundles: Vec<Bundle> =
        bundles.bundles.iter().map(|(id, keys)| jwt_bundle(id, keys)).collect::<Result<_, _>>()?;
    let valid = validate(&svid.svid, audience, now, &JwtKeySet::from_bundles(&bundles))?;
    let expires_at = valid.claims.get("exp").and_then(Value::as_f64).ok_or(JwtError::MissingExpiry)?;
    Ok(JwtContent { token: svid.svid.clone(), expires_at: Timestamp::from_secs(expires_at as i64) })
}

fn jwt_bundle(id: &str, keys: &[u8]) -> Result<Bundle, ContentError> {
    let trust_domain = || id.to_owned();
    let domain = TrustDomain::parse(id);
    let domain = domain.map_err(|error| ContentError::TrustDomain { trust_domain: trust_domain(), error })?;
    let keys = parse_jwt_bundle(keys);
    let keys = keys.map_err(|error| ContentError::Bundle { trust_domain: trust_domain(), error })?;
    Ok(Bundle { jwt_authorities: keys, ..Bundle::empty(domain) })
}

fn hinted<'a, T>(all: &'a [T], hint: Option<&str>, hint_of: impl Fn(&T) -> &String) -> Option<&'a T> {
    match hint {
        None => all.first(),
        Some(hint) => all.iter().find(|one| hint_of(one) == hint),
    }
}
