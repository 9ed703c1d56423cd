//! The own bundle follows the bundle of the authority above: new roots and keys come, tainted roots are flagged, and
//! tainted roots that went are removed. A root that went without a taint, because nobody asked in between, is tainted
//! here if an authority of ours stands below it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use steeple_ca::certificate;
use steeple_core::plugin::{UpstreamBundle, UpstreamError};
use steeple_core::{Authority, AuthorityKind, AuthoritySet, Bundle, Timestamp, X509Authority};
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
        let mut absent = Absent::default();
        while until_leader(replica, &stop).await.is_some() {
            match self.step(upstream, &mut absent, &stop).await {
                Ok(()) | Err(StepError::Upstream(UpstreamError::NothingYet)) => {}
                Err(StepError::Upstream(UpstreamError::Unsupported(_))) => return,
                Err(error) => tracing::warn!(error = %error, "the bundle of the upstream authority is not followed"),
            }
            if !rest(replica, POLL_INTERVAL, &stop).await {
                return;
            }
        }
    }

    async fn step(&self, upstream: &Upstream, absent: &mut Absent, stop: &CancellationToken) -> Result<(), StepError> {
        let Some(above) = stop.run_until_cancelled(upstream.bundle()).await else { return Ok(()) };
        let above = above?;
        let replica = &self.ca.maker.replica;
        let own = replica.state().read().own_bundle().cloned();
        // The first authority brings the first roots.
        let Some(own) = own else { return Ok(()) };
        let set = replica.state().read().authorities(AuthorityKind::X509).clone();
        let gone = absent.note(&own, &above, &set);
        let changes = changes(&own, &above, gone, self.ca.clock.now());
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

/// Roots that authorities of ours stand below and that the bundle above lacks: by name, how many answers in a row. One
/// answer alone may be of a server above that is a moment behind.
#[derive(Debug, Default)]
struct Absent(BTreeMap<Vec<u8>, u32>);

impl Absent {
    /// Takes in an answer; returns the roots (DER) that are gone for good.
    fn note(&mut self, own: &Bundle, above: &UpstreamBundle, set: &AuthoritySet) -> Vec<Vec<u8>> {
        let present: BTreeSet<_> = above.x509_authorities.iter().map(|root| name(&root.der)).collect();
        let ours: Vec<_> = [&set.active, &set.next].into_iter().flatten().collect();
        let carries = |root: &[u8]| ours.iter().any(|authority| stands_below(authority, &[root.to_vec()]));
        let untainted = own.x509_authorities.iter().filter(|root| above.is_whole && !root.tainted);
        let lacking: Vec<_> =
            untainted.filter(|root| !present.contains(&name(&root.der)) && carries(&root.der)).collect();
        self.0.retain(|known, _| lacking.iter().any(|root| name(&root.der) == *known));
        let mut gone = Vec::new();
        for root in lacking {
            let answers = self.0.entry(name(&root.der)).or_default();
            *answers += 1;
            if *answers >= ABSENT_ANSWERS {
                gone.push(root.der.clone());
            }
        }
        gone
    }
}

/// What the own bundle has to take over from the one above, where `gone` are not trusted any more.
fn changes(own: &Bundle, above: &UpstreamBundle, gone: Vec<Vec<u8>>, now: Timestamp) -> UpstreamChanges {
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
    let mut taint: Vec<_> = untainted.chain(&append).filter(|der| tainted.contains(&name(der))).cloned().collect();
    taint.extend(gone);
    let went = own.x509_authorities.iter().filter(|root| root.tainted && !present.contains(&name(&root.der)));
    let keys = above.jwt_authorities.iter().filter(|key| {
        // What has expired is pruned here and need not come back.
        (key.expires_at == 0 || key.expires_at > now.as_secs())
            && own.jwt_authorities.iter().all(|own| own.key_id != key.key_id)
    });
    UpstreamChanges {
        taint,
        revoke: went.map(|root| root.der.clone()).collect(),
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
/// Ten seconds from the first to the last.
const ABSENT_ANSWERS: u32 = 3;

#[cfg(test)]
mod tests {
    use steeple_ca::{CaRequest, DistinguishedName, Serial, SigningKey, self_signed_ca};
    use steeple_core::{AuthorityStatus, JwtAuthority, KeyType, SealedKey, TrustDomain};

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
        UpstreamBundle { x509_authorities: roots, jwt_authorities: keys, is_whole: true }
    }

    #[test]
    fn nothing_changes_while_both_are_equal() {
        let a = root(600);
        let keys = vec![key("k", NOW.as_secs() + 60)];
        let same =
            changes(&own(vec![x509(&a, false)], keys.clone()), &above(vec![x509(&a, false)], keys), Vec::new(), NOW);
        assert_eq!(same, UpstreamChanges::default());
    }

    #[test]
    fn new_roots_and_keys_come_unless_they_have_expired() {
        let (a, b) = (root(600), root(600));
        let later = NOW.saturating_add(Duration::from_secs(601));
        let (fresh, stale) = (key("fresh", NOW.as_secs() + 60), key("stale", NOW.as_secs() - 60));
        let above = above(vec![x509(&a, false), x509(&b, false)], vec![fresh.clone(), stale]);
        let got = changes(&own(vec![x509(&a, false)], Vec::new()), &above, Vec::new(), NOW);
        let expected = UpstreamChanges { append: vec![b], jwt_authorities: vec![fresh], ..UpstreamChanges::default() };
        assert_eq!(got, expected);
        assert!(changes(&own(Vec::new(), Vec::new()), &above, Vec::new(), later).append.is_empty());
    }

    #[test]
    fn a_root_that_went_without_a_taint_is_tainted_here_if_it_carries_an_authority_and_after_three_answers() {
        let (used, unused) = (root(600), root(600));
        let own = own(vec![x509(&used, false), x509(&unused, false)], Vec::new());
        // A root is signed by itself, so that it stands below itself.
        let set = AuthoritySet { active: Some(authority(&used)), ..AuthoritySet::default() };
        let (without, with) = (above(Vec::new(), Vec::new()), above(vec![x509(&used, false)], Vec::new()));
        let mut absent = Absent::default();
        let none = Vec::<Vec<u8>>::new();
        assert_eq!(
            [absent.note(&own, &without, &set), absent.note(&own, &without, &set)],
            [none.clone(), none.clone()]
        );
        assert_eq!(absent.note(&own, &with, &set), none, "an answer that was late");
        let answers: Vec<_> = (0..3).map(|_| absent.note(&own, &without, &set)).collect();
        assert_eq!(answers, [none.clone(), none.clone(), vec![used.clone()]]);
        assert_eq!(changes(&own, &without, vec![used.clone()], NOW).taint, [used]);
        let partly = UpstreamBundle { is_whole: false, ..without };
        assert!((0..9).all(|_| absent.note(&own, &partly, &set).is_empty()), "nothing is said of what is not in it");
    }

    fn authority(certificate: &[u8]) -> Authority {
        Authority {
            id: "a".to_owned(),
            kind: AuthorityKind::X509,
            status: AuthorityStatus::Active,
            key_type: KeyType::EcP256,
            issued_at: NOW,
            not_after: NOW.saturating_add(Duration::from_secs(600)),
            certificate: certificate.to_vec(),
            upstream_chain: Vec::new(),
            upstream_authority_id: "above".to_owned(),
            public_key: Vec::new(),
            key: SealedKey { keyring_term: 1, ciphertext: Vec::new() },
            restored: false,
        }
    }

    #[test]
    fn taint_is_taken_over_and_only_tainted_roots_go() {
        let (a, b, c, unknown) = (root(600), root(600), root(600), root(600));
        let own = own(vec![x509(&a, false), x509(&b, true), x509(&c, false)], Vec::new());
        let above = above(vec![x509(&a, true), x509(&unknown, true)], Vec::new());
        let got = changes(&own, &above, Vec::new(), NOW);
        let expected = UpstreamChanges {
            append: vec![unknown.clone()],
            taint: vec![a, unknown],
            revoke: vec![b],
            ..Default::default()
        };
        assert_eq!(got, expected);
    }
}
