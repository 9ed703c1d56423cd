//! When which bundle is fetched: SPIRE's rule over the bundle that is held, as functions of values.

use std::collections::BTreeMap;
use std::time::Duration;

use steeple_ca::certificate;
use steeple_core::{Bundle, BundleEndpointProfile, FederationRelationship, TrustDomain};
use tokio::time::Instant;

/// The trust domains to poll, each with its next turn.
#[derive(Debug, Default)]
pub struct Schedule {
    watched: BTreeMap<TrustDomain, Watched>,
}

#[derive(Debug)]
struct Watched {
    relationship: FederationRelationship,
    turn: Turn,
    /// Its last poll.
    failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    At(Instant),
    /// Its poll is going on. `again`: what it was asked to do is out of date already.
    Now {
        again: bool,
    },
}

/// What [`Schedule::reconcile`] found different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    Added(FederationRelationship),
    Changed(FederationRelationship),
    Gone(TrustDomain),
}

impl Schedule {
    /// Makes `wanted` what is watched. What is new or has changed is due at once.
    pub fn reconcile(
        &mut self,
        mut wanted: BTreeMap<TrustDomain, FederationRelationship>,
        now: Instant,
    ) -> Vec<Difference> {
        let mut differences = Vec::new();
        self.watched.retain(|trust_domain, watched| match wanted.remove(trust_domain) {
            None => {
                differences.push(Difference::Gone(trust_domain.clone()));
                false
            }
            Some(relationship) => {
                if watched.relationship != relationship {
                    differences.push(Difference::Changed(relationship.clone()));
                    watched.relationship = relationship;
                    watched.hurry(now);
                }
                true
            }
        });
        for (trust_domain, relationship) in wanted {
            differences.push(Difference::Added(relationship.clone()));
            self.watched.insert(trust_domain, Watched { relationship, turn: Turn::At(now), failed: false });
        }
        differences
    }

    /// Makes due at once what failed and is authenticated by one of the bundles that have just come or changed.
    pub fn retry_with(&mut self, bundles: &[TrustDomain], now: Instant) {
        for watched in self.watched.values_mut().filter(|watched| watched.failed) {
            if let BundleEndpointProfile::HttpsSpiffe { endpoint_spiffe_id } = &watched.relationship.profile
                && bundles.contains(&endpoint_spiffe_id.trust_domain())
            {
                watched.hurry(now);
            }
        }
    }

    /// The one that is due for the longest time. It is not due again before [`Self::polled`].
    pub fn take_due(&mut self, now: Instant) -> Option<FederationRelationship> {
        let due = self.watched.values_mut().filter_map(|watched| match watched.turn {
            Turn::At(at) if at <= now => Some((at, watched)),
            _ => None,
        });
        let (_, watched) = due.min_by_key(|(at, _)| *at)?;
        watched.turn = Turn::Now { again: false };
        Some(watched.relationship.clone())
    }

    /// The next turn of any; `None` while there is nothing to wait for but polls.
    pub fn next_turn(&self) -> Option<Instant> {
        let turns = self.watched.values().filter_map(|watched| match watched.turn {
            Turn::At(at) => Some(at),
            Turn::Now { .. } => None,
        });
        turns.min()
    }

    /// Its poll is over; the next one is due at `next`.
    pub fn polled(&mut self, trust_domain: &TrustDomain, is_ok: bool, next: Instant, now: Instant) {
        if let Some(watched) = self.watched.get_mut(trust_domain) {
            watched.failed = !is_ok;
            watched.turn = match watched.turn {
                Turn::Now { again: true } => Turn::At(now),
                Turn::Now { again: false } | Turn::At(_) => Turn::At(next),
            };
        }
    }
}

impl Watched {
    fn hurry(&mut self, now: Instant) {
        self.turn = match self.turn {
            Turn::At(at) => Turn::At(at.min(now)),
            Turn::Now { .. } => Turn::Now { again: true },
        };
    }
}

/// How long to wait after a poll that left `bundle` behind, whether or not the poll succeeded: four polls within the
/// refresh hint, and without a hint within a tenth of the shortest life of a root.
pub fn interval(bundle: Option<&Bundle>) -> Duration {
    let Some(bundle) = bundle else { return INTERVAL_WITHOUT_BUNDLE };
    let hint = match u64::try_from(bundle.refresh_hint) {
        Ok(hint) if hint > 0 => Duration::from_secs(hint),
        _ => shortest_life(bundle).unwrap_or_default() / LIFE_PARTS,
    };
    (hint.max(REFRESH_HINT_MIN) / POLLS_PER_HINT).min(INTERVAL_MAX)
}

/// Up to a tenth earlier, by any number, so that trust domains that were polled together do not stay together; never
/// more often than SPIRE.
pub fn jittered(interval: Duration, random: u64) -> Duration {
    let tenth = interval / 10;
    let earlier = tenth.mul_f64((random % 1024) as f64 / 1024.0);
    (interval - earlier).max(REFRESH_HINT_MIN / POLLS_PER_HINT)
}

fn shortest_life(bundle: &Bundle) -> Option<Duration> {
    let lives = bundle.x509_authorities.iter().filter_map(|authority| {
        let facts = certificate::facts(&authority.der)?;
        Some(facts.not_after.since(facts.not_before))
    });
    lives.min()
}

/// The poll cannot succeed before somebody sets the first bundle, as a rule.
const INTERVAL_WITHOUT_BUNDLE: Duration = Duration::from_secs(60);
const REFRESH_HINT_MIN: Duration = Duration::from_secs(60);
/// So that an endpoint may be away for a while.
const POLLS_PER_HINT: u32 = 4;
const LIFE_PARTS: u32 = 10;
/// SPIRE has none: a hint of years would keep a revoked root for as long.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use steeple_core::SpiffeId;

    use super::*;

    fn domain(name: &str) -> TrustDomain {
        TrustDomain::from_name(name).unwrap()
    }

    fn relationship(name: &str, url: &str) -> FederationRelationship {
        FederationRelationship {
            trust_domain: domain(name),
            bundle_endpoint_url: url.to_owned(),
            profile: BundleEndpointProfile::HttpsWeb,
        }
    }

    fn wanted(relationships: &[FederationRelationship]) -> BTreeMap<TrustDomain, FederationRelationship> {
        relationships.iter().map(|one| (one.trust_domain.clone(), one.clone())).collect()
    }

    fn with_hint(refresh_hint: i64) -> Bundle {
        Bundle { refresh_hint, ..Bundle::empty(domain("a.test")) }
    }

    #[test]
    fn a_quarter_of_the_hint_within_bounds() {
        let seconds = |hint| interval(Some(&with_hint(hint))).as_secs();
        assert_eq!([300, 120, 60, 59, 1].map(seconds), [75, 30, 15, 15, 15]);
        // No hint and no root that could give one.
        assert_eq!([0, -1].map(seconds), [15, 15]);
        assert_eq!([86_400, 4 * 86_400, i64::MAX].map(seconds), [21_600, 86_400, 86_400]);
        assert_eq!(interval(None).as_secs(), 60);
    }

    #[test]
    fn without_a_hint_a_fortieth_of_the_shortest_life() {
        let mut bundle = with_hint(0);
        for hours in [24, 8] {
            let mut params = rcgen::CertificateParams::default();
            params.not_before = time::OffsetDateTime::UNIX_EPOCH;
            params.not_after = params.not_before + time::Duration::hours(hours);
            let der = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec();
            bundle.x509_authorities.push(steeple_core::X509Authority { der, tainted: false });
        }
        assert_eq!(interval(Some(&bundle)), Duration::from_secs(8 * 3600 / 40));
    }

    #[test]
    fn jitter_takes_up_to_a_tenth_and_never_more_often_than_every_fifteen_seconds() {
        for random in (0..5000).chain([u64::MAX]) {
            let minute = jittered(Duration::from_secs(60), random);
            assert!((Duration::from_secs(54)..=Duration::from_secs(60)).contains(&minute), "{minute:?}");
            assert_eq!(jittered(Duration::from_secs(15), random), Duration::from_secs(15));
        }
        assert_ne!(jittered(Duration::from_secs(60), 1), jittered(Duration::from_secs(60), 2));
    }

    #[test]
    fn what_is_new_or_changed_is_due_at_once_and_what_is_gone_never() {
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let mut schedule = Schedule::default();
        let (a, b) = (relationship("a.test", "https://a.test"), relationship("b.test", "https://b.test"));
        let found = schedule.reconcile(wanted(&[a.clone(), b.clone()]), now);
        assert_eq!(found, [Difference::Added(a.clone()), Difference::Added(b.clone())]);
        assert_eq!(schedule.take_due(now), Some(a.clone()));
        assert_eq!(schedule.take_due(now), Some(b.clone()));
        assert_eq!((schedule.take_due(now), schedule.next_turn()), (None, None));
        schedule.polled(&a.trust_domain, true, later, now);
        schedule.polled(&b.trust_domain, true, later + Duration::from_secs(1), now);
        assert_eq!(schedule.next_turn(), Some(later));

        let moved = relationship("a.test", "https://elsewhere.test");
        let found = schedule.reconcile(wanted(std::slice::from_ref(&moved)), now);
        assert_eq!(found, [Difference::Changed(moved.clone()), Difference::Gone(b.trust_domain.clone())]);
        assert_eq!(schedule.take_due(now), Some(moved.clone()));
        assert_eq!(schedule.reconcile(wanted(std::slice::from_ref(&moved)), now), []);
        // A poll of something that is gone comes back.
        schedule.polled(&b.trust_domain, true, later, now);
        assert_eq!(schedule.take_due(later + Duration::from_secs(9)), None);
    }

    #[test]
    fn a_change_during_a_poll_means_another_poll() {
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let mut schedule = Schedule::default();
        let (before, after) = (relationship("a.test", "https://a.test"), relationship("a.test", "https://b.test"));
        schedule.reconcile(wanted(&[before]), now);
        assert!(schedule.take_due(now).is_some());
        schedule.reconcile(wanted(std::slice::from_ref(&after)), now);
        assert_eq!(schedule.take_due(later), None, "one poll at a time");
        schedule.polled(&after.trust_domain, true, later, now);
        assert_eq!(schedule.take_due(now), Some(after.clone()));
        schedule.polled(&after.trust_domain, true, later, now);
        assert_eq!(schedule.next_turn(), Some(later));
    }

    #[test]
    fn what_failed_for_want_of_a_bundle_is_due_when_the_bundle_comes() {
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let mut schedule = Schedule::default();
        let endpoint_spiffe_id = SpiffeId::parse("spiffe://b.test/endpoint").unwrap();
        let profile = BundleEndpointProfile::HttpsSpiffe { endpoint_spiffe_id };
        let a = FederationRelationship { profile, ..relationship("a.test", "https://a.test") };
        schedule.reconcile(wanted(std::slice::from_ref(&a)), now);
        for (is_ok, came, due) in [
            (false, "b.test", now),
            (false, "a.test", later),
            // Its own success brings a bundle too, which is no reason for another poll.
            (true, "b.test", later),
        ] {
            assert!(schedule.take_due(later).is_some());
            schedule.polled(&a.trust_domain, is_ok, later, now);
            schedule.retry_with(&[domain(came)], now);
            assert_eq!(schedule.next_turn(), Some(due), "{is_ok} {came}");
        }
    }
}
