//! JWT-SVIDs: issued here, verified by jsonwebtoken, and validated with the reasons that SPIRE's agent gives.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use steeple_ca::jwt::{JwtError, JwtKeySet, keep_allowed_claims, validate};
use steeple_ca::{IssueError, JwtIssuer, JwtSvidRequest, SigningKey};
use steeple_core::{Bundle, JwtAuthority, KeyType, SpiffeId, Timestamp, TrustDomain};

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_789);
const TTL: Duration = Duration::from_secs(300);

#[test]
fn a_token_has_spires_header_and_claims() {
    let world = World::new(KeyType::EcP256, Some("https://issuer"));
    let request = JwtSvidRequest { token_id: Some([7; 16]), ..world.request(&["a", "", "b", "a"]) };
    let svid = world.issuer.issue(NOW, &request).unwrap();
    assert_eq!((svid.issued_at, svid.expires_at), (secs(0), secs(300)));
    let parts: Vec<String> = svid.token.split('.').take(2).map(decode).collect();
    assert_eq!(parts[0], r#"{"alg":"ES256","kid":"kid","typ":"JWT"}"#);
    assert_eq!(
        parts[1],
        concat!(
            r#"{"aud":["a","b","a"],"exp":1800000300,"iat":1800000000,"iss":"https://issuer","#,
            r#""jti":"BwcHBwcHBwcHBwcHBwcHBw","sub":"spiffe://example.org/w"}"#
        )
    );
    let plain = World::new(KeyType::EcP256, None);
    let svid = plain.issuer.issue(NOW, &plain.request(&["a"])).unwrap();
    assert_eq!(
        decode(svid.token.split('.').nth(1).unwrap()),
        r#"{"aud":["a"],"exp":1800000300,"iat":1800000000,"sub":"spiffe://example.org/w"}"#
    );
}

#[test]
fn jsonwebtoken_verifies_every_algorithm() {
    let kinds = [
        (KeyType::EcP256, Algorithm::ES256),
        (KeyType::EcP384, Algorithm::ES384),
        (KeyType::Rsa2048, Algorithm::RS256),
    ];
    for (key_type, algorithm) in kinds {
        let world = World::new(key_type, None);
        let svid = world.issuer.issue(NOW, &world.request(&["a"])).unwrap();
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&["a"]);
        validation.validate_exp = false;
        let bits = &world.public_key_bits;
        let key = match key_type {
            KeyType::EcP256 | KeyType::EcP384 => DecodingKey::from_ec_der(bits),
            KeyType::Rsa2048 | KeyType::Rsa4096 => DecodingKey::from_rsa_der(bits),
        };
        jsonwebtoken::decode::<Map<String, Value>>(&svid.token, &key, &validation).unwrap();
        let valid = validate(&svid.token, &["a".into()], NOW, &world.keys).unwrap();
        assert_eq!(valid.spiffe_id, world.spiffe_id);
    }
}

#[test]
fn a_token_ends_with_its_key() {
    let world = World::new(KeyType::EcP256, None);
    let long = JwtSvidRequest { ttl: Duration::from_secs(1_000_000), ..world.request(&["a"]) };
    let svid = world.issuer.issue(NOW, &long).unwrap();
    assert_eq!(svid.expires_at, world.issuer.not_after());
    assert_eq!(world.issuer.issue(world.issuer.not_after(), &long), Err(IssueError::AuthorityExpired));
    assert_eq!(world.issuer.issue(NOW, &world.request(&["", ""])), Err(IssueError::NoAudience));
    assert_eq!(IssueError::NoAudience.to_string(), "at least one audience is required");
    assert!(!format!("{svid:?}").contains(&svid.token));
}

#[test]
fn a_string_audience_is_returned_as_a_list() {
    let world = World::new(KeyType::EcP256, None);
    let valid = world.validate(&json!({"sub": "spiffe://example.org/w", "aud": "a", "exp": 1_800_000_300})).unwrap();
    assert_eq!(valid.claims["aud"], json!(["a"]));
    assert_eq!(valid.claims["exp"], json!(1_800_000_300));
}

#[test]
fn refusals_have_spires_reasons() {
    let world = World::new(KeyType::EcP256, None);
    let sub = "spiffe://example.org/w";
    let exp = NOW.as_secs() + 100;
    let cases = [
        (json!({"aud": ["a"], "exp": exp}), "token missing subject claim"),
        (json!({"sub": sub, "aud": ["a"]}), "token missing exp claim"),
        (
            json!({"sub": "x", "aud": ["a"], "exp": exp}),
            "token has in invalid subject claim: scheme is missing or invalid",
        ),
        (
            json!({"sub": "spiffe://other.test/w", "aud": ["a"], "exp": exp}),
            r#"no keys found for trust domain "other.test""#,
        ),
        (json!({"sub": sub, "aud": ["b", "c"], "exp": exp}), r#"expected audience in ["a"] (audience=["b" "c"])"#),
        (json!({"sub": sub, "exp": exp}), r#"expected audience in ["a"] (audience=[])"#),
        (json!({"sub": sub, "aud": ["a"], "exp": NOW.as_secs() - 61}), "token has expired"),
        (
            json!({"sub": sub, "aud": ["a"], "exp": exp, "nbf": NOW.as_secs() + 61}),
            "go-jose/go-jose/jwt: validation failed, token not valid yet (nbf)",
        ),
        (
            json!({"sub": sub, "aud": ["a"], "exp": exp, "iat": NOW.as_secs() + 62}),
            "go-jose/go-jose/jwt: validation field, token issued in the future (iat)",
        ),
        (json!({"sub": sub, "aud": 5, "exp": exp}), r#"unable to parse JWT token: claim "aud" has the wrong type"#),
        (
            json!({"sub": sub, "aud": "a", "exp": "soon"}),
            r#"unable to parse JWT token: claim "exp" has the wrong type"#,
        ),
    ];
    for (claims, reason) in cases {
        assert_eq!(world.validate(&claims).unwrap_err().to_string(), reason, "{claims}");
    }
    // Within the minute of leeway.
    for claims in [
        json!({"sub": sub, "aud": ["a"], "exp": NOW.as_secs() - 30}),
        json!({"sub": sub, "aud": ["a"], "exp": exp, "nbf": NOW.as_secs() + 30, "iat": NOW.as_secs() + 30}),
        json!({"sub": sub, "aud": ["a"], "exp": 1_800_000_000.5}),
    ] {
        world.validate(&claims).unwrap();
    }
}

#[test]
fn headers_and_signatures_that_are_refused() {
    let world = World::new(KeyType::EcP256, None);
    let claims = json!({"sub": "spiffe://example.org/w", "aud": ["a"], "exp": NOW.as_secs() + 100});
    let check = |token: &str| validate(token, &["a".into()], NOW, &world.keys);
    assert!(matches!(check("nonsense"), Err(JwtError::Parse(_))));
    assert!(matches!(check(""), Err(JwtError::Parse(_))));
    assert!(matches!(check(&"a".repeat(100_000)), Err(JwtError::Parse(_))));
    let good = world.sign(&json!({"alg": "ES256", "kid": "kid"}), &claims);
    check(&format!("{good}\r\n")).unwrap();
    let (header, _) = good.split_once('.').unwrap();
    for (token, at) in [
        (format!(" {good}"), 0),
        (format!("Bearer {good}"), 6),
        (format!("{good}="), 86),
        (format!("{header}.a.b"), 0),
        ("a.b.c".to_owned(), 0),
    ] {
        let told = format!("unable to parse JWT token: illegal base64 data at input byte {at}");
        assert_eq!(check(&token).unwrap_err().to_string(), told, "{token}");
    }
    for algorithm in ["none", "HS256", "EdDSA", ""] {
        let token = world.sign(&json!({"alg": algorithm, "kid": "kid"}), &claims);
        let expected = r#"["ES256" "ES384" "ES512" "RS256" "RS384" "RS512" "PS256" "PS384" "PS512"]"#;
        let told =
            format!("unable to parse JWT token: unexpected signature algorithm {algorithm:?}; expected {expected}");
        assert_eq!(check(&token).unwrap_err().to_string(), told);
    }
    assert_eq!(check(&world.sign(&json!({"alg": "ES256"}), &claims)), Err(JwtError::MissingKeyId));
    let unknown = check(&world.sign(&json!({"alg": "ES256", "kid": "other"}), &claims)).unwrap_err();
    assert_eq!(unknown.to_string(), r#"public key "other" not found in trust domain "example.org""#);
    for algorithm in ["ES384", "RS256", "PS256"] {
        let token = world.sign(&json!({"alg": algorithm, "kid": "kid"}), &claims);
        assert_eq!(check(&token), Err(JwtError::Signature), "{algorithm}");
    }
    let good = world.sign(&json!({"alg": "ES256", "kid": "kid"}), &claims);
    check(&good).unwrap();
    let (rest, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{rest}.{}", URL_SAFE_NO_PAD.encode([1; 64]));
    let error = check(&forged).unwrap_err();
    assert_eq!(
        (&error, error.to_string().as_str()),
        (&JwtError::Signature, "go-jose/go-jose: error in cryptographic primitive")
    );
}

#[test]
fn a_header_that_asks_for_what_we_do_not_know_is_refused() {
    let world = World::new(KeyType::EcP256, None);
    let claims = json!({"sub": "spiffe://example.org/w", "aud": ["a"], "exp": NOW.as_secs() + 100});
    let check = |more: Value| {
        let mut header = json!({"alg": "ES256", "kid": "kid"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        validate(&world.sign(&header, &claims), &["a".into()], NOW, &world.keys)
    };
    for critical in [json!(["foo"]), json!(["exp"]), json!(["b64", "foo"])] {
        let refused = check(json!({"crit": critical, "foo": 1, "b64": true})).unwrap_err();
        assert_eq!(refused.to_string(), "go-jose/go-jose: unsupported critical header", "{critical}");
    }
    assert_eq!(check(json!({"crit": ["b64"], "b64": false})), Err(JwtError::NotUnderstood));
    for understood in [json!({"crit": []}), json!({"crit": ["b64"], "b64": true}), json!({"foo": 1, "typ": "JWT"})] {
        check(understood).unwrap();
    }
    let key = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"});
    for malformed in [json!({"crit": "foo"}), json!({"jwk": key}), json!({"x5c": ["AAAA"]}), json!({"kid": 5})] {
        assert!(matches!(check(malformed.clone()), Err(JwtError::Parse(_))), "{malformed}");
    }
}

#[test]
fn other_domains_may_sign_with_keys_that_we_do_not_make() {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(66);
    let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
    let key = json!({"use": "jwt-svid", "kty": "EC", "kid": "k", "crv": "P-521", "x": x, "y": y});
    let document = json!({ "keys": [key] }).to_string();
    let domain = TrustDomain::parse("other.test").unwrap();
    let bundle = steeple_ca::jwks::parse_spiffe_bundle(&domain, document.as_bytes()).unwrap();
    let keys = JwtKeySet::from_bundles([&bundle]);
    let encode = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = |algorithm: &str| {
        let claims = json!({"sub": "spiffe://other.test/w", "aud": ["a"], "exp": NOW.as_secs() + 100});
        let message = format!("{}.{}", encode(json!({"alg": algorithm, "kid": "k"})), encode(claims));
        let signature = pair.sign(&random, message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    };
    let check = |token: &str| validate(token, &["a".into()], NOW, &keys);
    assert_eq!(check(&signed("ES512")).unwrap().spiffe_id.to_string(), "spiffe://other.test/w");
    assert_eq!(check(&signed("ES384")), Err(JwtError::Signature));
    let (message, _) =
        signed("ES512").rsplit_once('.').map(|(message, rest)| (message.to_owned(), rest.len())).unwrap();
    assert_eq!(check(&format!("{message}.{}", URL_SAFE_NO_PAD.encode([1; 132]))), Err(JwtError::Signature));
}

#[test]
fn foreign_claims_are_reduced_to_those_allowed() {
    let mut claims = json!({"sub": "s", "exp": 1, "aud": ["a"], "iat": 1, "color": "red"}).as_object().unwrap().clone();
    keep_allowed_claims(&mut claims, &["color".into()]);
    assert_eq!(Value::Object(claims), json!({"sub": "s", "exp": 1, "aud": ["a"], "color": "red"}));
}

proptest! {
    #[test]
    fn no_token_makes_the_validator_panic(token in "[a-zA-Z0-9_.{}\":-]{0,200}", claims in any_json()) {
        static WORLD: std::sync::LazyLock<World> = std::sync::LazyLock::new(|| World::new(KeyType::EcP256, None));
        let _ = validate(&token, &["a".into()], NOW, &WORLD.keys);
        let _ = WORLD.validate(&claims);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let claim = prop_oneof!["sub", "aud", "exp", "nbf", "iat", "[a-z]{1,3}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!("spiffe://example.org/w")),
        ".{0,10}".prop_map(Value::from),
        prop::collection::vec(".{0,5}".prop_map(Value::from), 0..3).prop_map(Value::from),
    ];
    prop::collection::vec((claim, leaf), 0..6).prop_map(|claims| Value::Object(claims.into_iter().collect()))
}

struct World {
    spiffe_id: SpiffeId,
    issuer: JwtIssuer,
    /// A second handle on the issuer's key, to sign what an issuer would not.
    key: SigningKey,
    public_key_bits: Vec<u8>,
    keys: JwtKeySet,
}

impl World {
    fn new(key_type: KeyType, issuer: Option<&str>) -> Self {
        let pkcs8 = steeple_ca::generate_pkcs8(key_type).unwrap();
        let key = SigningKey::from_pkcs8(&pkcs8).unwrap();
        let mut bundle = Bundle::empty(TrustDomain::from_name("example.org").unwrap());
        bundle.jwt_authorities.push(JwtAuthority {
            public_key: key.public_key().spki().to_vec(),
            key_id: "kid".into(),
            expires_at: 0,
            tainted: false,
        });
        let not_after = NOW.saturating_add(Duration::from_secs(86_400));
        let public_key_bits = key.public_key().bits().to_vec();
        Self {
            spiffe_id: SpiffeId::parse("spiffe://example.org/w").unwrap(),
            issuer: JwtIssuer::new(key, "kid", Timestamp::from_secs(not_after.as_secs()), issuer.map(str::to_owned)),
            key: SigningKey::from_pkcs8(&pkcs8).unwrap(),
            public_key_bits,
            keys: JwtKeySet::from_bundles([&bundle]),
        }
    }

    fn request(&self, audience: &[&str]) -> JwtSvidRequest<'_> {
        let audience: Vec<String> = audience.iter().map(|name| (*name).to_owned()).collect();
        JwtSvidRequest { spiffe_id: &self.spiffe_id, audience: audience.leak(), ttl: TTL, token_id: None }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.key.sign_jws(message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn validate(&self, claims: &Value) -> Result<steeple_ca::jwt::ValidatedJwtSvid, JwtError> {
        let token = self.sign(&json!({"alg": "ES256", "kid": "kid", "typ": "JWT"}), claims);
        validate(&token, &["a".into()], NOW, &self.keys)
    }
}

fn secs(after: i64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() + after)
}

fn decode(part: &str) -> String {
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
