//! WIT-SVIDs: issued here, verified by jsonwebtoken, byte for byte as SPIRE writes them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use steeple_ca::{HolderKey, IssueError, PublicKey, SigningKey, WitIssuer, WitSvidRequest, generate_pkcs8};
use steeple_core::{KeyType, SpiffeId, Timestamp};

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_789);
const TTL: Duration = Duration::from_secs(300);

/// A P-256 key (the generator point), PKIX DER.
const HOLDER: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200046b17d1f2e12c4247f8bce6e563a440f277037d81\
                      2deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

fn holder() -> HolderKey {
    HolderKey::new(PublicKey::from_spki(&hex::decode(HOLDER).unwrap()).unwrap(), "ES256").unwrap()
}

fn decoded(part: &str) -> String {
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn id() -> SpiffeId {
    SpiffeId::parse("spiffe://example.org/w").unwrap()
}

#[test]
fn a_token_has_spires_header_and_claims() {
    let key = || SigningKey::generate(KeyType::EcP384).unwrap();
    let not_after = NOW.saturating_add(Duration::from_secs(86_400));
    let (holder, id) = (holder(), id());
    let request = WitSvidRequest { spiffe_id: &id, holder: &holder, ttl: TTL };
    let jwk = concat!(
        r#""cnf":{"jwk":{"kty":"EC","crv":"P-256","alg":"ES256","#,
        r#""x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY","y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}}"#
    );
    for (issuer, iss) in [(Some("https://issuer.test"), r#""iss":"https://issuer.test","#), (None, "")] {
        let issuer = WitIssuer::new(key(), "kid", not_after, issuer.map(str::to_owned));
        let svid = issuer.issue(NOW, &request).unwrap();
        let parts: Vec<String> = svid.token.split('.').take(2).map(decoded).collect();
        assert_eq!(parts[0], r#"{"alg":"ES384","kid":"kid","typ":"wit+jwt"}"#);
        let dates = r#""exp":1800000300,"iat":1800000000"#;
        assert_eq!(parts[1], format!(r#"{{{jwk},{dates},{iss}"sub":"spiffe://example.org/w"}}"#));
        assert_eq!((svid.issued_at.as_secs(), svid.expires_at.as_secs()), (1_800_000_000, 1_800_000_300));
    }
}

#[test]
fn jsonwebtoken_verifies_every_algorithm() {
    let kinds = [
        (KeyType::EcP256, Algorithm::ES256),
        (KeyType::EcP384, Algorithm::ES384),
        (KeyType::Rsa2048, Algorithm::RS256),
    ];
    for (key_type, algorithm) in kinds {
        let key = SigningKey::from_pkcs8(&generate_pkcs8(key_type).unwrap()).unwrap();
        let bits = key.public_key().bits().to_vec();
        let issuer = WitIssuer::new(key, "kid", NOW.saturating_add(2 * TTL), None);
        let (holder, id) = (holder(), id());
        let svid = issuer.issue(NOW, &WitSvidRequest { spiffe_id: &id, holder: &holder, ttl: TTL }).unwrap();
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        let key = match algorithm {
            Algorithm::RS256 => DecodingKey::from_rsa_der(&bits),
            _ => DecodingKey::from_ec_der(&bits),
        };
        let verified = jsonwebtoken::decode::<Map<String, Value>>(&svid.token, &key, &validation).unwrap();
        assert_eq!(verified.claims["sub"], "spiffe://example.org/w");
        let mut forged = svid.token.clone();
        forged.truncate(forged.len() - 8);
        forged.push_str("AAAAAAAA");
        assert!(jsonwebtoken::decode::<Map<String, Value>>(&forged, &key, &validation).is_err());
    }
}

#[test]
fn a_token_ends_with_its_key() {
    let not_after = NOW.saturating_add(Duration::from_secs(60));
    let issuer = WitIssuer::new(SigningKey::generate(KeyType::EcP256).unwrap(), "kid", not_after, None);
    let (holder, id) = (holder(), id());
    let request = WitSvidRequest { spiffe_id: &id, holder: &holder, ttl: TTL };
    assert_eq!(issuer.issue(NOW, &request).unwrap().expires_at.as_secs(), not_after.as_secs());
    assert_eq!(issuer.issue(not_after, &request), Err(IssueError::AuthorityExpired));
}
