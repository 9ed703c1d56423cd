//! Chain verification, one broken rule at a time.

mod common;

use common::{Ca, Leaf, NOW, ca_params, clock, domain, id};
use futures::FutureExt as _;
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use rustls_pki_types::CertificateDer;
use steeple_core::{IdError, Secret, SpiffeId, Timestamp};
use steeple_transport::tls::{
    Identity, IdentityError, IdentitySink, IdentityStore, TrustRoots, Usage, VerifyError, verify_chain,
};

const WEB: &str = "spiffe://example.org/web";

fn verify(chain: &[Vec<u8>], roots: &TrustRoots) -> Result<SpiffeId, VerifyError> {
    let chain: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    verify_chain(&chain, roots, NOW, Usage::Client)
}

fn roots(ca: &Ca) -> TrustRoots {
    TrustRoots::empty().with(domain("example.org"), &[&ca.der]).unwrap()
}

#[test]
fn accepts_an_svid_directly_under_the_root_and_under_an_intermediate() {
    let root = Ca::new("root");
    let direct = root.issue(&Leaf::named(WEB));
    assert_eq!(verify(&direct.chain, &roots(&root)), Ok(id(WEB)));

    let intermediate = root.intermediate(ca_params("intermediate"));
    let mut below = intermediate.issue(&Leaf::named(WEB));
    assert_eq!(verify(&below.chain, &roots(&root)), Err(VerifyError::UnknownAuthority(domain("example.org"))));
    below.chain.push(intermediate.der.clone());
    assert_eq!(verify(&below.chain, &roots(&root)), Ok(id(WEB)));
    below.chain.push(root.der.clone());
    assert_eq!(verify(&below.chain, &roots(&root)), Ok(id(WEB)), "some servers send the root along");
}

#[test]
fn refuses_each_broken_leaf_with_its_own_error() {
    let ca = Ca::new("root");
    let good = Leaf::named(WEB);
    let cases = [
        (Leaf { uris: vec![], ..good.clone() }, VerifyError::NoUri),
        (Leaf { uris: vec![WEB, "spiffe://example.org/other"], ..good.clone() }, VerifyError::SeveralUris { count: 2 }),
        (Leaf { uris: vec![WEB, "https://example.org"], ..good.clone() }, VerifyError::SeveralUris { count: 2 }),
        (Leaf::named("https://example.org"), VerifyError::InvalidId(IdError::WrongScheme)),
        (Leaf::named("spiffe://example.org/a//b"), VerifyError::InvalidId(IdError::EmptySegment)),
        (Leaf::named("spiffe://other.org/web"), VerifyError::UnknownTrustDomain(domain("other.org"))),
        (
            Leaf { not_after: -1, not_before: -60, ..good.clone() },
            VerifyError::Expired { not_after: Timestamp::from_secs(NOW.as_secs() - 1) },
        ),
        (
            Leaf { not_before: 5, ..good.clone() },
            VerifyError::NotYetValid { not_before: Timestamp::from_secs(NOW.as_secs() + 5) },
        ),
        (Leaf { ca: true, ..good.clone() }, VerifyError::LeafIsCa),
        (
            Leaf { key_usages: vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign], ..good.clone() },
            VerifyError::LeafIsCa,
        ),
    ];
    for (leaf, error) in cases {
        assert_eq!(verify(&ca.issue(&leaf).chain, &roots(&ca)), Err(error));
    }
}

#[test]
fn not_after_is_the_last_valid_second() {
    let ca = Ca::new("root");
    let leaf = Leaf { not_after: 0, ..Leaf::named(WEB) };
    assert_eq!(verify(&ca.issue(&leaf).chain, &roots(&ca)), Ok(id(WEB)));
}

#[test]
fn extended_key_usage_must_fit_the_side() {
    let ca = Ca::new("root");
    let server_only = Leaf { extended_key_usages: vec![ExtendedKeyUsagePurpose::ServerAuth], ..Leaf::named(WEB) };
    let chain = ca.issue(&server_only).chain;
    assert!(matches!(verify(&chain, &roots(&ca)), Err(VerifyError::Chain(_))));
    let der = [CertificateDer::from(chain[0].as_slice())];
    assert_eq!(verify_chain(&der, &roots(&ca), NOW, Usage::Server), Ok(id(WEB)));
    let none = Leaf { extended_key_usages: vec![], ..Leaf::named(WEB) };
    assert_eq!(verify(&ca.issue(&none).chain, &roots(&ca)), Ok(id(WEB)));
}

/// A federated domain's CA must not be able to name our own domain.
#[test]
fn only_the_roots_of_the_named_trust_domain_count() {
    let (own, foreign) = (Ca::new("own"), Ca::new("foreign"));
    let both = roots(&own).with(domain("foreign.org"), &[&foreign.der]).unwrap();
    let forged = foreign.issue(&Leaf::named("spiffe://example.org/spire/server"));
    assert_eq!(verify(&forged.chain, &both), Err(VerifyError::UnknownAuthority(domain("example.org"))));
    let honest = foreign.issue(&Leaf::named("spiffe://foreign.org/web"));
    assert_eq!(verify(&honest.chain, &both), Ok(id("spiffe://foreign.org/web")));
}

/// After a CA was replaced under the same subject, old chains fail by signature: still an unknown authority.
#[test]
fn a_new_key_under_the_old_subject_is_an_unknown_authority() {
    let (old, new) = (Ca::new("same name"), Ca::new("same name"));
    let error = verify(&old.issue(&Leaf::named(WEB)).chain, &roots(&new)).unwrap_err();
    assert_eq!(error, VerifyError::UnknownAuthority(domain("example.org")));
    assert!(error.to_string().contains("x509: certificate signed by unknown authority"));
}

#[test]
fn intermediates_must_be_allowed_to_sign() {
    let root = Ca::new("root");
    let mut params = ca_params("intermediate");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let intermediate = root.intermediate(params);
    // rcgen refuses to sign with such an issuer, so the leaf comes from a twin of it.
    let mut chain = root.issue(&Leaf::named(WEB)).chain;
    chain.push(intermediate.der);
    assert_eq!(verify(&chain, &roots(&root)), Err(VerifyError::NotAnIssuer { index: 1 }));
}

#[test]
fn sizes_are_capped_before_anything_is_verified() {
    let ca = Ca::new("root");
    let leaf = ca.issue(&Leaf::named(WEB)).chain.remove(0);
    assert_eq!(verify(&[], &roots(&ca)), Err(VerifyError::EmptyChain));
    assert_eq!(verify(&vec![leaf.clone(); 9], &roots(&ca)), Err(VerifyError::ChainTooLong { certs: 9 }));
    let long = vec![0x30; 16 * 1024 + 1];
    let error = VerifyError::CertificateTooLarge { index: 1, bytes: long.len() };
    assert_eq!(verify(&[leaf.clone(), long], &roots(&ca)), Err(error));
    let trailing = [leaf.as_slice(), b"x"].concat();
    assert!(matches!(verify(&[trailing], &roots(&ca)), Err(VerifyError::Malformed { index: 0, .. })));
    assert!(matches!(verify(&[leaf, b"junk".to_vec()], &roots(&ca)), Err(VerifyError::Malformed { index: 1, .. })));
}

#[test]
fn a_bad_root_is_named() {
    let ca = Ca::new("root");
    let error = TrustRoots::empty().with(domain("example.org"), &[ca.der.as_slice(), b"junk"]).unwrap_err();
    assert_eq!((error.trust_domain, error.index), (domain("example.org"), 1));
}

#[test]
fn the_identity_store_publishes_only_what_peers_would_accept() {
    let ca = Ca::new("root");
    let shared = roots(&ca).into_shared();
    let store = IdentityStore::new(shared, std::sync::Arc::new(|id| *id == common::id(WEB)), Usage::Client, clock());
    assert!(!store.is_published());

    let expired = ca.issue(&Leaf { not_after: -1, not_before: -60, ..Leaf::named(WEB) });
    assert!(matches!(store.publish(&expired), Err(IdentityError::WouldBeRefused(VerifyError::Expired { .. }))));
    let other = ca.issue(&Leaf::named("spiffe://example.org/other"));
    assert!(matches!(store.publish(&other), Err(IdentityError::WouldBeRefused(VerifyError::NotPermitted(_)))));
    let good = ca.issue(&Leaf::named(WEB));
    let mixed = Identity { chain: good.chain.clone(), key: other.key };
    assert_eq!(store.publish(&mixed), Err(IdentityError::KeyMismatch));
    let junk = Identity { chain: good.chain.clone(), key: Secret::new(b"junk".to_vec()).into() };
    assert_eq!(store.publish(&junk), Err(IdentityError::UnusableKey));
    assert!(!store.is_published());

    assert_eq!(store.publish(&good), Ok(id(WEB)));
    assert_eq!(store.published().now_or_never(), Some(()));
    assert!(store.publish(&expired).is_err());
    assert!(store.is_published(), "a failed publication leaves the old identity");
    store.withdraw();
    assert!(!store.is_published());
    assert_eq!(store.published().now_or_never(), None);
}
