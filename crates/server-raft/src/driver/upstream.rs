//! The own bundle follows the bundle of the authority above: new roots and keys come, tainted roots are flagged, and
//! tainted roots that went are removed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use steeple_ca::certificate;
use steeple_core::plugin::{UpstreamBundle, UpstreamError};
use steeple_core::{Authority, AuthorityKind, Bundle, Timestamp, X509Authority};
use steeple_state::{CommandKind, UpstreamChanges};
use tokio_util::sync::CancellationToken;

use super::ca::CaDriver;
use super::{StepError, ca_log, propose, rest, until_leader};
use crate::upstream_authority::Upstream;

pub struct UpstreamDriver {
    pub ca: Arc<CaDriver>,
}

impl UpstreamDriver {
    /// Runs until `stop`, or returns at once where there is nothing to follow.
    pub async fn run(self, stop: CancellationToken) {
        let replica = &self.ca.maker.replica;
        let Some(upstream) = &self.ca.maker.upstream else { return };
        while until_leader(replica, &stop).await.is_some() {
            match self.step(upstream, &stop).await {
                Ok(()) | Err(StepError::Upstream(UpstreamError::NothingYet)) => {}
                Err(StepError::Upstream(UpstreamError::Unsupported(_))) => return,
                Err(error) => tracing::warn!(error = %error, "the bundle of the upstream authority is not followed"),
            }
            if !rest(replica, POLL_INTERVAL, &stop).await {
                return;
            }
        }
    }

    async fn step(&self, upstream: &Upstream, stop: &CancellationToken) -> Result<(), StepError> {
        let Some(above) = stop.run_until_cancelled(upstream.bundle()).await else { return Ok(()) };
        let above = above?;
        let replica = &self.ca.maker.replica;
        let own = replica.state().read().own_bundle().cloned();
        // The first authority brings the first roots.
        let Some(own) = own else { return Ok(()) };
        let changes = changes(&own, &above, self.ca.clock.now());
        if changes == UpstreamChanges::default() {
            return Ok(());
        }
        // First another CA for us, then the flag: agents and servers below renew as soon as they see it.
        self.leave(&changes.taint).await?;
        for (roots, what) in [(&changes.append, "added"), (&changes.taint, "tainted"), (&changes.revoke, "revoked")] {
            for root in roots {
                tracing::info!(subject_key_id = key_id(root).unwrap_or_default(), "X.509 authority {what}");
            }
        }
        propose(replica, ACTOR, CommandKind::FollowUpstream(Box::new(changes))).await.map(|_| ())
    }

    /// Moves to an authority below another root when the active one stands below a tainted one.
    async fn leave(&self, tainted: &[Vec<u8>]) -> Result<(), StepError> {
        let set = self.ca.maker.replica.state().read().authorities(AuthorityKind::X509).clone();
        if !set.active.as_ref().is_some_and(|active| stands_below(active, tainted)) {
            return Ok(());
        }
        ca_log::leaves_tainted();
        let id = match set.prepared().filter(|prepared| !stands_below(prepared, tainted)) {
            Some(prepared) => prepared.id.clone(),
            None => self.ca.prepare(self.ca.clock.now(), AuthorityKind::X509).await?,
        };
        self.ca.activate(self.ca.clock.now(), AuthorityKind::X509, id).await
    }
}

/// What the own bundle has to take over from the one above.
fn changes(own: &Bundle, above: &UpstreamBundle, now: Timestamp) -> UpstreamChanges {
    let known = |root: &X509Authority| own.x509_authorities.iter().any(|own| own.der == root.der);
    let tainted: BTreeSet<_> =
        above.x509_authorities.iter().filter(|root| root.tainted).map(|root| name(&root.der)).collect();
    let present: BTreeSet<_> = above.x509_authorities.iter().map(|root| name(&root.der)).collect();
    let append: Vec<Vec<u8>> = above
        .x509_authorities
        .iter()
        .filter(|root| !known(root) && is_valid(&root.der, now))
        .map(|root| root.der.clone())
        .collect();
    let untainted = own.x509_authorities.iter().filter(|root| !root.tainted).map(|root| &root.der);
    let taint = untainted.chain(&append).filter(|der| tainted.contains(&name(der))).cloned().collect();
    let gone = own.x509_authorities.iter().filter(|root| root.tainted && !present.contains(&name(&root.der)));
    let keys = above.jwt_authorities.iter().filter(|key| {
        // What has expired is pruned here and need not come back.
        (key.expires_at == 0 || key.expires_at > now.as_secs())
            && own.jwt_authorities.iter().all(|own| own.key_id != key.key_id)
    });
    UpstreamChanges {
        taint,
        revoke: gone.map(|root| root.der.clone()).collect(),
        jwt_authorities: keys.cloned().collect(),
        append,
    }
}

/// Whether one of `roots` signed the top of the authority's chain.
fn stands_below(authority: &Authority, roots: &[Vec<u8>]) -> bool {
    let top = authority.upstream_chain.last().unwrap_or(&authority.certificate);
    roots.iter().any(|root| certificate::is_signed_by(top, root))
}

/// A root is its key: the same key under a new certificate is the same authority (SPIRE behaviour).
fn name(der: &[u8]) -> Vec<u8> {
    certificate::facts(der).and_then(|facts| facts.subject_key_id).unwrap_or_else(|| der.to_vec())
}

fn key_id(der: &[u8]) -> Option<String> {
    certificate::facts(der)?.subject_key_id.map(hex::encode)
}

fn is_valid(der: &[u8], now: Timestamp) -> bool {
    certificate::facts(der).is_some_and(|facts| now < facts.not_after)
}

const ACTOR: &str = "upstream driver";
/// SPIRE looks as often.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use steeple_ca::{CaRequest, DistinguishedName, Serial, SigningKey, self_signed_ca};
    use steeple_core::{JwtAuthority, KeyType, TrustDomain};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn root(ttl_secs: u64) -> Vec<u8> {
        let key = SigningKey::generate(KeyType::EcP256).unwrap();
        let (trust_domain, subject) = (&trust_domain(), &DistinguishedName::default_ca());
        let serial = Serial::random(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        let request = CaRequest { trust_domain, subject, serial, ttl: Duration::from_secs(ttl_secs) };
        self_signed_ca(NOW, &key, request).unwrap().der
    }

    fn trust_domain() -> TrustDomain {
        TrustDomain::from_name("example.org").unwrap()
    }

    fn x509(der: &[u8], tainted: bool) -> X509Authority {
        X509Authority { der: der.to_vec(), tainted }
    }

    fn key(key_id: &str, expires_at: i64) -> JwtAuthority {
        JwtAuthority { public_key: vec![1], key_id: key_id.to_owned(), expires_at, tainted: false }
    }

    fn own(roots: Vec<X509Authority>, keys: Vec<JwtAuthority>) -> Bundle {
        Bundle { x509_authorities: roots, jwt_authorities: keys, ..Bundle::empty(trust_domain()) }
    }

    fn above(roots: Vec<X509Authority>, keys: Vec<JwtAuthority>) -> UpstreamBundle {
        UpstreamBundle { x509_authorities: roots, jwt_authorities: keys }
    }

    #[test]
    fn nothing_changes_while_both_are_equal() {
        let a = root(600);
        let keys = vec![key("k", NOW.as_secs() + 60)];
        let same = changes(&own(vec![x509(&a, false)], keys.clone()), &above(vec![x509(&a, false)], keys), NOW);
        assert_eq!(same, UpstreamChanges::default());
    }

    #[test]
    fn new_roots_and_keys_come_unless_they_have_expired() {
        let (a, b) = (root(600), root(600));
        let later = NOW.saturating_add(Duration::from_secs(601));
        let (fresh, stale) = (key("fresh", NOW.as_secs() + 60), key("stale", NOW.as_secs() - 60));
        let above = above(vec![x509(&a, false), x509(&b, false)], vec![fresh.clone(), stale]);
        let got = changes(&own(vec![x509(&a, false)], Vec::new()), &above, NOW);
        let expected = UpstreamChanges { append: vec![b], jwt_authorities: vec![fresh], ..UpstreamChanges::default() };
        assert_eq!(got, expected);
        assert!(changes(&own(Vec::new(), Vec::new()), &above, later).append.is_empty());
    }

    #[test]
    fn taint_is_taken_over_and_only_tainted_roots_go() {
        let (a, b, c, unknown) = (root(600), root(600), root(600), root(600));
        let own = own(vec![x509(&a, false), x509(&b, true), x509(&c, false)], Vec::new());
        let above = above(vec![x509(&a, true), x509(&unknown, true)], Vec::new());
        let got = changes(&own, &above, NOW);
        let expected = UpstreamChanges {
            append: vec![unknown.clone()],
            taint: vec![a, unknown],
            revoke: vec![b],
            ..Default::default()
        };
        assert_eq!(got, expected);
    }
}
