//! SVIDs are what was asked for: 1 % verified whole, every serial seen once.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use anyhow::{Context as _, ensure};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use steeple_api::convert::bundle_from_wire;
use steeple_api::types;
use steeple_ca::certificate;
use steeple_ca::jwt::{JwtKeySet, validate};
use steeple_core::{Clock as _, SystemClock, TrustDomain};
use steeple_transport::tls::{TrustRoots, Usage, verify_chain};

use crate::report::Gate;

/// What a server is trusted to sign with.
pub(crate) struct Trust {
    pub(crate) roots: TrustRoots,
    jwt_keys: JwtKeySet,
}

/// Checks SVIDs as they come, from many tasks.
pub(crate) struct SvidCheck {
    trust: Trust,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    issued: u64,
    verified: u64,
    /// Hashes: of a million, two are alike once in ten million runs.
    serials: HashSet<u64>,
    hasher: RandomState,
    repeated: u64,
    wrong: u64,
    first_wrong: Option<String>,
}

impl Trust {
    pub(crate) fn new(trust_domain: &TrustDomain, bundle: &types::Bundle) -> anyhow::Result<Self> {
        let roots: Vec<&[u8]> = bundle.x509_authorities.iter().map(|root| root.asn1.as_slice()).collect();
        let core = bundle_from_wire(bundle, None).map_err(|error| anyhow::anyhow!("the bundle: {error}"))?;
        Ok(Self {
            roots: TrustRoots::empty().with(trust_domain.clone(), &roots)?,
            jwt_keys: JwtKeySet::from_bundles([&core]),
        })
    }
}

impl SvidCheck {
    pub(crate) fn new(trust: Trust) -> Self {
        Self { trust, seen: Mutex::default() }
    }

    /// One X.509-SVID for `path`, whose key is `public_key` (PKIX DER).
    pub(crate) fn x509(&self, svid: &types::X509svid, path: &str, public_key: &[u8]) {
        let serial = svid.cert_chain.first().and_then(|leaf| certificate::facts(leaf)).map(|leaf| leaf.serial);
        if self.count(serial.as_deref()) {
            self.judge(verify_x509(&self.trust, svid, path, public_key));
        }
    }

    /// One JWT-SVID for `path` and `audience`.
    pub(crate) fn jwt(&self, token: &str, path: &str, audience: &str) {
        if self.count(Some(token)) {
            let verified = || {
                let valid = validate(token, &[audience.to_owned()], SystemClock.now(), &self.trust.jwt_keys)?;
                ensure!(valid.spiffe_id.path() == path, "the token is for {}", valid.spiffe_id);
                Ok(())
            };
            self.judge(verified());
        }
    }

    pub(crate) fn gates(&self) -> Vec<Gate> {
        let seen = self.seen.lock();
        let first = seen.first_wrong.as_ref().map_or(String::new(), |first| format!("; the first: {first}"));
        vec![
            Gate::new(
                "1 % of the SVIDs verified",
                seen.wrong == 0 && seen.verified > 0,
                format!("{} of {} issued, {} wrong{first}", seen.verified, seen.issued, seen.wrong),
            ),
            Gate::new(
                "no SVID issued twice",
                seen.repeated == 0,
                format!("{} different, {} repeated", seen.serials.len(), seen.repeated),
            ),
        ]
    }

    /// Whether it is one of those that are verified whole.
    fn count(&self, serial: Option<&str>) -> bool {
        let mut seen = self.seen.lock();
        let whole = seen.issued.is_multiple_of(VERIFIED_EVERY) || serial.is_none();
        seen.issued += 1;
        if let Some(serial) = serial {
            let hash = seen.hasher.hash_one(serial);
            seen.repeated += u64::from(!seen.serials.insert(hash));
        }
        whole
    }

    fn judge(&self, verified: anyhow::Result<()>) {
        let mut seen = self.seen.lock();
        seen.verified += 1;
        if let Err(error) = verified {
            seen.wrong += 1;
            seen.first_wrong.get_or_insert_with(|| format!("{error:#}"));
        }
    }
}

/// Chain, ID, key and lifetime.
pub(crate) fn verify_x509(trust: &Trust, svid: &types::X509svid, path: &str, public_key: &[u8]) -> anyhow::Result<()> {
    let chain: Vec<_> = svid.cert_chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let now = SystemClock.now();
    let id = verify_chain(&chain, &trust.roots, now, Usage::Client)?;
    ensure!(id.path() == path, "the SVID is for {id}, not for {path}");
    let leaf = svid.cert_chain.first().and_then(|der| certificate::facts(der)).context("no leaf")?;
    ensure!(leaf.public_key == public_key, "the SVID of {id} has another key");
    ensure!(leaf.not_after.as_secs() == svid.expires_at, "the SVID of {id} ends when the answer does not say so");
    Ok(())
}

const VERIFIED_EVERY: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> SvidCheck {
        let trust_domain = TrustDomain::from_name("x.test").unwrap();
        let bundle = types::Bundle { trust_domain: "x.test".to_owned(), ..types::Bundle::default() };
        SvidCheck::new(Trust::new(&trust_domain, &bundle).unwrap())
    }

    #[test]
    fn a_run_without_svids_keeps_no_promise() {
        assert!(!check().gates()[0].passed);
    }

    #[test]
    fn what_no_root_signed_breaks_the_gate() {
        let check = check();
        check.x509(&types::X509svid { cert_chain: vec![b"junk".to_vec()], ..types::X509svid::default() }, "/a", b"");
        check.jwt("a.b.c", "/a", "load");
        let gates = check.gates();
        assert!(!gates[0].passed && gates[0].detail.starts_with("1 of 2 issued, 1 wrong"), "{gates:?}");
    }

    #[test]
    fn one_in_a_hundred_is_verified_and_repeats_are_seen() {
        let check = check();
        let whole = (0..1_000).filter(|number| check.count(Some(&format!("{number}")))).count();
        assert_eq!(whole, 10);
        assert!(check.gates()[1].passed);
        check.count(Some("7"));
        assert!(!check.gates()[1].passed);
    }
}
