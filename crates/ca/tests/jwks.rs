//! Bundle documents: exactly as SPIRE prints them, and refused where SPIRE refuses them.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use steeple_ca::jwks::{
    BUNDLE_BYTES_MAX, JwksError, KEYS_MAX, parse_jwt_bundle, parse_spiffe_bundle, print_jwt_bundle, print_oidc_keys,
    print_spiffe_bundle,
};
use steeple_ca::{CaRequest, DistinguishedName, Serial, SigningKey, self_signed_ca};
use steeple_core::{Bundle, JwtAuthority, KeyType, Timestamp, TrustDomain, X509Authority};

const KEY_TYPES: [KeyType; 3] = [KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048];

#[test]
fn a_bundle_survives_printing_and_parsing() {
    let bundle = sample();
    let json = print_spiffe_bundle(&bundle).unwrap();
    let read = parse_spiffe_bundle(&td(), json.as_bytes()).unwrap();
    // Sequence, expiry and taint do not travel.
    let mut expected = Bundle { sequence: 0, ..bundle };
    expected.jwt_authorities.iter_mut().for_each(|key| (key.expires_at, key.tainted) = (0, false));
    expected.x509_authorities.iter_mut().for_each(|root| root.tainted = false);
    assert_eq!(read, expected);
}

#[test]
fn the_document_is_laid_out_as_spire_does() {
    let bundle = sample();
    let json = print_spiffe_bundle(&bundle).unwrap();
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(lines[..4], ["{", "    \"keys\": [", "        {", "            \"use\": \"x509-svid\","]);
    assert_eq!(
        lines[lines.len() - 4..],
        ["    ],", "    \"spiffe_sequence\": 7,", "    \"spiffe_refresh_hint\": 600", "}"]
    );
    let document: Value = serde_json::from_str(&json).unwrap();
    let members = |entry: usize| {
        let object = document["keys"][entry].as_object().unwrap();
        object.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(members(0), "use kty crv x y x5c");
    assert_eq!(members(2), "use kty n e x5c");
    assert_eq!(members(3), "use kty kid crv x y");
    assert_eq!(members(5), "use kty kid n e");
    assert_eq!(document["keys"][5]["e"], json!("AQAB"));
}

#[test]
fn sequence_and_hint_are_left_out_at_zero() {
    let empty = Bundle::empty(td());
    assert_eq!(print_spiffe_bundle(&empty).unwrap(), "{\n    \"keys\": null\n}");
    assert_eq!(print_jwt_bundle(&empty).unwrap(), "{\n    \"keys\": []\n}");
}

#[test]
fn the_workload_apis_bundle_is_a_plain_key_set() {
    let document: Value = serde_json::from_str(&print_jwt_bundle(&sample()).unwrap()).unwrap();
    assert_eq!(document.as_object().unwrap().keys().collect::<Vec<_>>(), ["keys"]);
    let keys = document["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 3);
    for key in keys {
        assert!(key.get("use").is_none());
        assert!(!key["kid"].as_str().unwrap().is_empty());
    }
    let standard: jsonwebtoken::jwk::JwkSet = serde_json::from_value(document).unwrap();
    assert_eq!(standard.keys.len(), 3);
}

#[test]
fn one_bad_key_refuses_the_document() {
    let good: Value = serde_json::from_str(&print_spiffe_bundle(&sample()).unwrap()).unwrap();
    let edit = |edit: &dyn Fn(&mut Value)| {
        let mut document = good.clone();
        edit(&mut document);
        parse_spiffe_bundle(&td(), document.to_string().as_bytes()).unwrap_err()
    };
    let other_certificate = good["keys"][1]["x5c"].clone();
    let remove = |document: &mut Value, entry: usize, member: &str| {
        document["keys"][entry].as_object_mut().unwrap().remove(member);
    };
    let cases: Vec<(JwksError, &str)> = vec![
        (edit(&|document| remove(document, 1, "use")), "missing use for key entry 1"),
        (edit(&|document| document["keys"][1]["use"] = json!("sig")), "unrecognized use \"sig\" for key entry 1"),
        (edit(&|document| remove(document, 0, "x5c")), "expected a single certificate in x509-svid entry 0; got 0"),
        (
            edit(&|document| document["keys"][0]["x5c"] = json!(["a", "b"])),
            "expected a single certificate in x509-svid entry 0; got 2",
        ),
        (edit(&|document| remove(document, 3, "kid")), "missing key ID in jwt-svid entry 3"),
        (
            edit(&|document| document["keys"][0]["x5c"] = json!(["AAAA"])),
            "key entry 0 is not valid: x5c is not a certificate",
        ),
        (
            edit(&|document| document["keys"][0]["x5c"] = other_certificate.clone()),
            "key entry 0 is not valid: the public keys in key and x5c fields do not match",
        ),
        (
            edit(&|document| document["keys"][3]["kty"] = json!("oct")),
            "key entry 3 is not valid: unsupported key type \"oct\"",
        ),
        (
            edit(&|document| document["keys"][3]["crv"] = json!("P-1")),
            "key entry 3 is not valid: unsupported curve \"P-1\"",
        ),
        (
            edit(&|document| document["keys"][3]["x"] = json!("AA")),
            "key entry 3 is not valid: x and y are no point on the curve",
        ),
        (
            edit(&|document| document["keys"][3]["x"] = json!("%")),
            "key entry 3 is not valid: x is not unpadded base64url",
        ),
        (edit(&|document| document["keys"] = Value::Null), "no authorities found"),
        (edit(&|document| document["spiffe_refresh_hint"] = json!(-1)), "refresh hint -1 is out of range"),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
    assert!(matches!(parse_spiffe_bundle(&td(), b"[]"), Err(JwksError::Json(_))));
    let large = vec![b' '; BUNDLE_BYTES_MAX + 1];
    assert_eq!(parse_spiffe_bundle(&td(), &large), Err(JwksError::TooLarge { bytes: BUNDLE_BYTES_MAX + 1 }));
}

#[test]
fn keys_are_counted_before_they_are_kept() {
    let document = |keys: usize| format!("{{\"keys\":[{}]}}", vec!["{}"; keys].join(","));
    let refused = |keys: usize| parse_spiffe_bundle(&td(), document(keys).as_bytes()).unwrap_err().to_string();
    assert_eq!(refused(KEYS_MAX), "missing use for key entry 0");
    let text = "failed to decode bundle: invalid length 10001, expected a list of at most 10000 keys";
    assert!(refused(KEYS_MAX + 1).starts_with(text), "{}", refused(KEYS_MAX + 1));
}

#[test]
fn keys_for_wit_svids_and_unknown_members_are_skipped() {
    let json = json!({"keys": [{"use": "wit-svid", "kty": "EC"}], "spiffe_sequence": 9, "extra": {"a": [1]}});
    let bundle = parse_spiffe_bundle(&td(), json.to_string().as_bytes()).unwrap();
    assert_eq!(bundle, Bundle::empty(td()));
}

#[test]
fn an_ed25519_key_survives_too() {
    let spki = hex::decode(["302a300506032b6570032100", &"ab".repeat(32)].concat()).unwrap();
    let mut bundle = Bundle::empty(td());
    bundle.jwt_authorities.push(JwtAuthority { public_key: spki, key_id: "k".into(), expires_at: 0, tainted: false });
    let json = print_spiffe_bundle(&bundle).unwrap();
    assert!(json.contains("\"kty\": \"OKP\""), "{json}");
    assert_eq!(parse_spiffe_bundle(&td(), json.as_bytes()).unwrap(), bundle);
}

proptest! {
    #[test]
    fn no_document_makes_the_parser_panic(json in document()) {
        let _ = parse_spiffe_bundle(&td(), json.to_string().as_bytes());
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = parse_spiffe_bundle(&td(), &bytes);
    }
}

fn document() -> impl Strategy<Value = Value> {
    let member = prop_oneof!["use", "kty", "kid", "crv", "x", "y", "n", "e", "x5c"];
    let value = prop_oneof![
        Just(json!("x509-svid")),
        Just(json!("jwt-svid")),
        Just(json!("EC")),
        Just(json!("RSA")),
        Just(json!("OKP")),
        Just(json!("P-256")),
        "[A-Za-z0-9_-]{0,90}".prop_map(Value::from),
        Just(json!([])),
        "[A-Za-z0-9+/]{0,40}".prop_map(|text| json!([text])),
        any::<i64>().prop_map(Value::from),
    ];
    let key =
        prop::collection::vec((member, value), 0..8).prop_map(|members| Value::Object(members.into_iter().collect()));
    prop::collection::vec(key, 0..4).prop_map(|keys| json!({ "keys": keys }))
}

fn td() -> TrustDomain {
    TrustDomain::from_name("example.org").unwrap()
}

fn sample() -> Bundle {
    static SAMPLE: std::sync::LazyLock<Bundle> = std::sync::LazyLock::new(|| {
        let mut bundle = Bundle { refresh_hint: 600, sequence: 7, ..Bundle::empty(td()) };
        for (number, key_type) in KEY_TYPES.into_iter().enumerate() {
            let key = SigningKey::generate(key_type).unwrap();
            let request = CaRequest {
                trust_domain: &td(),
                subject: &DistinguishedName::default_ca(),
                serial: Serial::from(number as u128),
                ttl: Duration::from_secs(86_400),
            };
            let der = self_signed_ca(Timestamp::from_secs(1_800_000_000), &key, request).unwrap().der;
            bundle.x509_authorities.push(X509Authority { der, tainted: number == 1 });
            bundle.jwt_authorities.push(JwtAuthority {
                public_key: key.public_key().spki().to_vec(),
                key_id: format!("kid-{number}"),
                expires_at: 1_800_086_400,
                tainted: number == 2,
            });
        }
        bundle
    });
    SAMPLE.clone()
}

#[test]
fn an_oidc_key_set_names_algorithms_and_use() {
    let authorities = sample().jwt_authorities;
    let plain: Value = serde_json::from_str(&print_oidc_keys(&authorities, false).unwrap()).unwrap();
    let (first, key) = (&authorities[0], &plain["keys"][0]);
    assert_eq!((&key["kid"], key.get("use")), (&Value::from(first.key_id.as_str()), None));
    assert!(["RS256", "ES256", "ES384"].contains(&key["alg"].as_str().unwrap()), "{key}");
    let text = print_oidc_keys(&authorities, true).unwrap();
    assert!(text.starts_with("{\n  \"keys\": [\n    {\n      \"use\": \"sig\",\n"), "{text}");
    assert_eq!(parse_jwt_bundle(text.as_bytes()).unwrap().len(), authorities.len());
}

#[test]
fn a_jwt_bundle_comes_back_as_it_went() {
    let bundle = sample();
    let read = parse_jwt_bundle(print_jwt_bundle(&bundle).unwrap().as_bytes()).unwrap();
    let keys = |authorities: &[steeple_core::JwtAuthority]| -> Vec<_> {
        authorities.iter().map(|authority| (authority.key_id.clone(), authority.public_key.clone())).collect()
    };
    assert_eq!(keys(&read), keys(&bundle.jwt_authorities));
    assert_eq!(parse_jwt_bundle(b"{}"), Err(JwksError::NoAuthorities));
    assert_eq!(parse_jwt_bundle(br#"{"keys":[{"kty":"EC"}]}"#), Err(JwksError::MissingKeyId { entry: 0 }));
}
