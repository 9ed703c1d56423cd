//! Bundles: the own one and those of other trust domains, as protobuf in a blob.

use prost::Message as _;
use steeple_ca::{PublicKey, certificate};
use steeple_core::{Bundle, JwtAuthority, TrustDomain, X509Authority};

use super::{Noun, Plan};
use crate::{Database, wire};

/// With the numbers of their rows, which entries refer to.
pub(super) fn read(database: &Database, own: &TrustDomain, plan: &mut Plan) -> Vec<(i64, Bundle)> {
    let mut bundles = Vec::new();
    for row in &database.bundles {
        let name = row.trust_domain.as_str();
        let trust_domain = match TrustDomain::parse(name) {
            Ok(trust_domain) => trust_domain,
            Err(error) => {
                plan.leave(Noun::Bundle, name, error);
                continue;
            }
        };
        let Ok(message) = wire::Bundle::decode(row.data.as_slice()) else {
            plan.leave(Noun::Bundle, name, "its content is damaged");
            continue;
        };
        if TrustDomain::parse(&message.trust_domain_id).ok().as_ref() != Some(&trust_domain) {
            plan.leave(Noun::Bundle, name, format!("it holds the bundle of {:?}", message.trust_domain_id));
            continue;
        }
        if !message.wit_signing_keys.is_empty() {
            plan.leave(
                Noun::Bundle,
                name,
                "its WIT keys: where WIT-SVIDs are on, a new one is made (the rest comes along)",
            );
        }
        let bundle = Bundle {
            x509_authorities: x509_authorities(name, &message, plan),
            jwt_authorities: jwt_authorities(name, &message, plan),
            refresh_hint: message.refresh_hint,
            sequence: message.sequence_number,
            ..Bundle::empty(trust_domain.clone())
        };
        // Taints of other trust domains are their own business.
        bundles.push((row.row, if trust_domain == *own { bundle } else { bundle.untainted() }));
    }
    bundles
}

fn x509_authorities(name: &str, message: &wire::Bundle, plan: &mut Plan) -> Vec<X509Authority> {
    let mut authorities: Vec<X509Authority> = Vec::new();
    for (at, root) in message.root_cas.iter().enumerate() {
        // One entry may hold several certificates (SPIRE behaviour).
        let Some(certificates) = certificate::split(&root.der_bytes) else {
            plan.leave(Noun::Bundle, name, format!("its root {} is no certificate (the rest comes along)", at + 1));
            continue;
        };
        for der in certificates {
            if authorities.iter().all(|known| known.der != der) {
                authorities.push(X509Authority { der, tainted: root.tainted_key });
            }
        }
    }
    authorities
}

fn jwt_authorities(name: &str, message: &wire::Bundle, plan: &mut Plan) -> Vec<JwtAuthority> {
    let mut authorities: Vec<JwtAuthority> = Vec::new();
    for key in &message.jwt_signing_keys {
        let fault = if key.kid.is_empty() || PublicKey::from_spki(&key.pkix_bytes).is_err() {
            Some("cannot be read")
        } else if authorities.iter().any(|known| known.key_id == key.kid) {
            Some("has the id of another one")
        } else {
            None
        };
        if let Some(fault) = fault {
            plan.leave(Noun::Bundle, name, format!("its JWT key {:?} {fault} (the rest comes along)", key.kid));
            continue;
        }
        authorities.push(JwtAuthority {
            public_key: key.pkix_bytes.clone(),
            key_id: key.kid.clone(),
            expires_at: key.not_after,
            tainted: key.tainted_key,
        });
    }
    authorities
}
