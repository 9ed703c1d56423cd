//! Who somebody is: SPIFFE IDs, selectors, requests, certificates, tokens, bundles.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::LazyLock;

use regex::bytes::Regex;
use rustls_pki_types::CertificateDer;
use steeple_api::convert::{
    id_from_wire, id_to_wire, selector_from_wire, selector_to_wire, selectors_from_wire, selectors_to_wire,
};
use steeple_ca::csr::{self, Csr};
use steeple_ca::jwks::{
    parse_jwt_authorities, parse_jwt_bundle, parse_spiffe_bundle, print_jwt_bundle, print_spiffe_bundle,
};
use steeple_ca::jwt::{JwtKeySet, validate};
use steeple_ca::{PublicKey, certificate};
use steeple_core::{Bundle, MatchBehavior, Selector, SelectorSet, SpiffeId, TrustDomain};
use steeple_transport::tls::{TlsPeer, Usage, verify_chain};

use super::issued;
use super::text;
use crate::{Verdict, within};

/// Beside our reader stands the grammar of the SPIFFE-ID standard, sections 2.1 to 2.3, as go-spiffe reads it.
pub fn spiffe_id(data: &[u8]) -> Verdict {
    static GRAMMAR: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^spiffe://[a-z0-9._-]{1,255}((/[A-Za-z0-9._-]+)*)$").expect("a regular expression")
    });
    let grammatical = GRAMMAR.captures(data).is_some_and(|parts| {
        data.len() <= 2048 && !parts[1].split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b".."))
    });
    let parsed = text(data).map(|text| within(2, data, || SpiffeId::parse(text)));
    let Some(Ok(id)) = parsed else {
        assert!(!grammatical, "refused: {}", String::from_utf8_lossy(data));
        return Verdict::Refused;
    };
    assert!(grammatical, "accepted: {id}");
    assert_eq!(id.as_str().as_bytes(), data);
    assert_eq!(SpiffeId::from_parts(&id.trust_domain(), id.path()).as_ref(), Ok(&id));
    assert_eq!(id_from_wire(Some(&id_to_wire(&id))).as_ref().ok(), Some(&id));
    assert_eq!(TrustDomain::parse(id.as_str()), Ok(id.trust_domain()));
    Verdict::Read
}

pub fn trust_domain(data: &[u8]) -> Verdict {
    static GRAMMAR: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[a-z0-9._-]{1,255}$").expect("a regular expression"));
    let parsed = text(data).and_then(|text| within(2, data, || TrustDomain::from_name(text)).ok());
    assert_eq!(parsed.is_some(), GRAMMAR.is_match(data), "{}", String::from_utf8_lossy(data));
    if let Some(domain) = &parsed {
        assert_eq!(domain.name().as_bytes(), data);
        assert_eq!(TrustDomain::parse(domain.id().as_str()).as_ref(), Ok(domain));
    }
    Verdict::of(parsed)
}

/// A line, a selector: `type:value`.
pub fn selector(data: &[u8]) -> Verdict {
    let Some(text) = text(data) else { return Verdict::Refused };
    let read = |line: &str| {
        let (kind, value) = line.split_once(':').unwrap_or((line, ""));
        Selector::new(kind, value).ok()
    };
    let set: SelectorSet = within(60, data, || text.lines().filter_map(read).collect());
    for selector in &set {
        assert_eq!(selector_from_wire(&selector_to_wire(selector)).as_ref().ok(), Some(selector));
        assert!(set.contains(selector));
    }
    let back = selectors_from_wire(&selectors_to_wire(&set)).expect("what was read is written");
    assert_eq!(back.into_iter().collect::<SelectorSet>(), set);
    for how in [MatchBehavior::Exact, MatchBehavior::Subset, MatchBehavior::Superset, MatchBehavior::Any] {
        assert!(set.is_empty() || set.matches(how, &set), "{how:?}");
    }
    Verdict::read_if(!set.is_empty())
}

/// Whoever accepts a request must have seen a signature over exactly what it goes on to use.
pub fn csr(data: &[u8]) -> Verdict {
    let Ok(csr) = within(40, data, || Csr::parse(data)) else { return Verdict::Refused };
    assert!(data.len() <= csr::CSR_BYTES_MAX);
    assert!(csr.uris.len() + csr.dns_names.len() <= csr::NAMES_MAX);
    assert_eq!(PublicKey::from_spki(csr.public_key.spki()).as_ref(), Ok(&csr.public_key));
    Verdict::read_if(csr.verify_signature().is_ok())
}

pub fn csr_seeds() -> Vec<Vec<u8>> {
    vec![issued::CSR.to_vec()]
}

/// A series of certificates, leaf first: what a client shows, and what the Workload API gives out.
pub fn certificates(data: &[u8]) -> Verdict {
    let Some(series) = within(4, data, || certificate::split(data)) else { return Verdict::Refused };
    assert_eq!(series.concat(), data);
    let chain: Vec<CertificateDer<'_>> = series.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let shown = within(40, data, || TlsPeer::new(SocketAddr::from(([127, 0, 0, 1], 1)), &chain));
    let facts: Vec<_> = series.iter().map(|der| certificate::facts(der)).collect();
    let mut ids = BTreeSet::new();
    for usage in [Usage::Client, Usage::Server] {
        ids.extend(verify_chain(&chain, issued::roots(), issued::NOW, usage));
    }
    // Three readers of the leaf: whoever is verified is whom the connection and the facts name.
    for id in &ids {
        assert_eq!(shown.as_ref().ok().and_then(TlsPeer::spiffe_id), Some(id));
        assert_eq!(facts[0].as_ref().and_then(|facts| facts.spiffe_id.as_ref()), Some(id));
        assert!(series[0] == issued::SVID, "a certificate that nobody signed");
    }
    Verdict::read_if(!ids.is_empty())
}

pub fn certificate_seeds() -> Vec<Vec<u8>> {
    vec![issued::SVID.to_vec(), [issued::SVID, issued::ROOT].concat(), issued::ROOT.to_vec()]
}

pub fn jwt(data: &[u8]) -> Verdict {
    let Some(token) = text(data) else { return Verdict::Refused };
    let keys = JwtKeySet::from_bundles([&issued::bundle()]);
    let validated = within(60, data, || validate(token, &[issued::AUDIENCE.to_owned()], issued::NOW, &keys));
    let Ok(svid) = validated else { return Verdict::Refused };
    assert_eq!(svid.claims["sub"], svid.spiffe_id.as_str());
    // ECDSA knows two signatures for one; what they are over is the same.
    let signed = |token: &[u8]| token[..token.iter().rposition(|byte| *byte == b'.').unwrap_or(0)].to_vec();
    assert_eq!(signed(data), signed(issued::TOKEN), "a token that nobody signed");
    Verdict::Read
}

pub fn jwt_seeds() -> Vec<Vec<u8>> {
    vec![issued::TOKEN.to_vec()]
}

/// The bundle document, by each of its readers.
pub fn jwks(data: &[u8]) -> Verdict {
    let domain = issued::trust_domain();
    // One short key is ten strings.
    let parsed = within(300, data, || parse_spiffe_bundle(&domain, data));
    let authorities = parse_jwt_authorities(data);
    let Ok(bundle) = parsed else {
        assert!(authorities.is_err());
        let Ok(keys) = parse_jwt_bundle(data) else { return Verdict::Refused };
        let bundle = Bundle { jwt_authorities: keys, ..Bundle::empty(domain) };
        let printed = print_jwt_bundle(&bundle).expect("what was read is printed");
        assert_eq!(parse_jwt_bundle(printed.as_bytes()).as_ref().ok(), Some(&bundle.jwt_authorities));
        return Verdict::Read;
    };
    assert_eq!(authorities.as_ref().ok(), Some(&bundle.jwt_authorities));
    let printed = print_spiffe_bundle(&bundle).expect("what was read is printed");
    // Without an authority `keys` is null, which is refused as a bundle without authorities (SPIRE behaviour).
    let empty = bundle.x509_authorities.is_empty() && bundle.jwt_authorities.is_empty();
    assert_eq!(parse_spiffe_bundle(&domain, printed.as_bytes()).ok(), Some(bundle).filter(|_| !empty));
    Verdict::Read
}

pub fn jwks_seeds() -> Vec<Vec<u8>> {
    let bundle = issued::bundle();
    [print_spiffe_bundle(&bundle), print_jwt_bundle(&bundle)]
        .map(|printed| printed.expect("a bundle").into_bytes())
        .to_vec()
}
