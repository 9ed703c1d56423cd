//! Trust bundles as JSON Web Key Sets (RFC 7517): the SPIFFE bundle document that trust domains exchange, and the plain
//! key set that the Workload API hands to workloads.
//!
//! Printed as SPIRE prints them (members in go-jose's order, four spaces), parsed as strictly as SPIRE parses.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::ser::{PrettyFormatter, Serializer};
use steeple_core::{Bundle, JwtAuthority, TrustDomain, X509Authority};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::{PublicKey, PublicKeyError, PublicKeyKind};

/// The texts are SPIRE's where it has one for the case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    #[error("bundle has {bytes} bytes, more than the {BUNDLE_BYTES_MAX} allowed")]
    TooLarge { bytes: usize },
    #[error("failed to decode bundle: {0}")]
    Json(String),
    #[error("no authorities found")]
    NoAuthorities,
    #[error("missing use for key entry {entry}")]
    MissingUse { entry: usize },
    #[error("unrecognized use {usage:?} for key entry {entry}")]
    UnknownUse { entry: usize, usage: String },
    #[error("expected a single certificate in x509-svid entry {entry}; got {certificates}")]
    CertificateCount { entry: usize, certificates: usize },
    #[error("missing key ID in jwt-svid entry {entry}")]
    MissingKeyId { entry: usize },
    #[error("key entry {entry} is not valid: {reason}")]
    BadKey { entry: usize, reason: String },
    #[error("refresh hint {0} is out of range")]
    RefreshHint(i64),
    #[error("an authority cannot be printed: {0}")]
    Unprintable(#[from] PublicKeyError),
}

/// Members in the order in which go-jose prints them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Jwk {
    #[serde(rename = "use", skip_serializing_if = "String::is_empty")]
    usage: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kty: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    crv: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    alg: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    x: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    y: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    n: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    e: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    x5c: Vec<String>,
}

/// Counted while they are read: three bytes of a document are a key without a member, which takes a hundred times as
/// many here.
#[derive(Serialize)]
#[serde(transparent)]
struct Keys(Vec<Jwk>);

#[derive(Serialize, Deserialize)]
struct Document {
    keys: Option<Keys>,
    #[serde(default, skip_serializing_if = "is_zero")]
    spiffe_sequence: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    spiffe_refresh_hint: i64,
}

/// The SPIFFE bundle document: X.509 authorities, then JWT authorities, sequence and refresh hint unless 0.
pub fn print_spiffe_bundle(bundle: &Bundle) -> Result<String, JwksError> {
    Ok(print(&spiffe_document(bundle)?))
}

/// The same in one line, as SPIRE's bundle publishers write it.
pub fn print_spiffe_bundle_compact(bundle: &Bundle) -> Result<String, JwksError> {
    Ok(print_compact(&spiffe_document(bundle)?))
}

/// Every authority as a key of a plain key set, in one line: nothing in it is SPIFFE's own, such as `use`.
pub fn print_plain_bundle_compact(bundle: &Bundle) -> Result<String, JwksError> {
    let document = spiffe_document(bundle)?;
    let all = document.keys.into_iter().flat_map(|keys| keys.0);
    let keys = all.map(|jwk| Jwk { usage: String::new(), ..jwk }).collect();
    Ok(print_compact(&Document { keys: Some(Keys(keys)), spiffe_sequence: 0, spiffe_refresh_hint: 0 }))
}

fn spiffe_document(bundle: &Bundle) -> Result<Document, JwksError> {
    let x509 = bundle.x509_authorities.iter().map(x509_jwk);
    let jwt = bundle.jwt_authorities.iter().map(|authority| {
        let jwk = jwt_jwk(authority)?;
        Ok(Jwk { usage: USE_JWT_SVID.into(), ..jwk })
    });
    let keys = x509.chain(jwt).collect::<Result<Vec<_>, PublicKeyError>>()?;
    // Without a key it is null (SPIRE behaviour).
    let keys = Some(keys).filter(|keys| !keys.is_empty()).map(Keys);
    Ok(Document { keys, spiffe_sequence: bundle.sequence, spiffe_refresh_hint: bundle.refresh_hint })
}

/// The Workload API's JWT bundle: a standard key set without `use`, sequence and hint, sorted by key ID. `keys` is
/// never null.
pub fn print_jwt_bundle(bundle: &Bundle) -> Result<String, JwksError> {
    // In no order of its own in SPIRE.
    let mut authorities: Vec<&JwtAuthority> = bundle.jwt_authorities.iter().collect();
    authorities.sort_by(|a, b| a.key_id.cmp(&b.key_id));
    let keys = authorities.into_iter().map(jwt_jwk).collect::<Result<_, _>>()?;
    Ok(print(&Document { keys: Some(Keys(keys)), spiffe_sequence: 0, spiffe_refresh_hint: 0 }))
}

/// The key set of an OIDC provider (RFC 7517, indented by two spaces): each key with the `alg` that its tokens carry,
/// and with `"use": "sig"` where clients insist on it. A key that no SPIFFE implementation signs with has no `alg`.
pub fn print_oidc_keys(authorities: &[JwtAuthority], with_use: bool) -> Result<String, JwksError> {
    let jwk = |authority| {
        let jwk = jwt_jwk(authority)?;
        let alg = algorithm(&jwk).to_owned();
        Ok(Jwk { alg, usage: if with_use { USE_SIG.into() } else { String::new() }, ..jwk })
    };
    let keys = authorities.iter().map(jwk).collect::<Result<_, PublicKeyError>>()?;
    Ok(print_indented(&Document { keys: Some(Keys(keys)), spiffe_sequence: 0, spiffe_refresh_hint: 0 }, b"  "))
}

/// Reads a Workload API's JWT bundle: a key set in which only key and `kid` count.
pub fn parse_jwt_bundle(json: &[u8]) -> Result<Vec<JwtAuthority>, JwksError> {
    let keys = parse_document(json)?.keys.ok_or(JwksError::NoAuthorities)?;
    keys.0.into_iter().enumerate().map(|(entry, jwk)| read_jwt(entry, jwk)).collect()
}

/// Reads a SPIFFE bundle document. One bad key refuses the whole of it. The sequence is ignored and JWT keys get no
/// expiry (SPIRE behaviour); keys for WIT-SVIDs are skipped.
pub fn parse_spiffe_bundle(trust_domain: &TrustDomain, json: &[u8]) -> Result<Bundle, JwksError> {
    parse_authorities(json, UnknownUses::Refused).map(|authorities| authorities.of(trust_domain))
}

/// The same, but keys without a use, or with one that nobody knows, are skipped: as go-spiffe, and so SPIRE's commands,
/// read what an operator gives them.
pub fn parse_spiffe_bundle_leniently(trust_domain: &TrustDomain, json: &[u8]) -> Result<Bundle, JwksError> {
    parse_authorities(json, UnknownUses::Skipped).map(|authorities| authorities.of(trust_domain))
}

/// The JWT authorities of a SPIFFE bundle document, which does not say whose it is. As strict as
/// [`parse_spiffe_bundle`].
pub fn parse_jwt_authorities(json: &[u8]) -> Result<Vec<JwtAuthority>, JwksError> {
    Ok(parse_authorities(json, UnknownUses::Refused)?.jwt)
}

impl Jwk {
    pub(crate) fn public_key(&self) -> Result<PublicKey, JwksError> {
        read_key(0, self)
    }

    /// A key that names the holder of a token (RFC 7800, section 3.2), with the `alg` that it signs with.
    pub(crate) fn of_holder(key: &PublicKey, algorithm: &str) -> Self {
        Self { alg: algorithm.to_owned(), ..key_members(key) }
    }
}

#[derive(Default)]
struct Authorities {
    x509: Vec<X509Authority>,
    jwt: Vec<JwtAuthority>,
    refresh_hint: i64,
}

impl Authorities {
    fn of(self, trust_domain: &TrustDomain) -> Bundle {
        Bundle {
            x509_authorities: self.x509,
            jwt_authorities: self.jwt,
            refresh_hint: self.refresh_hint,
            ..Bundle::empty(trust_domain.clone())
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum UnknownUses {
    Refused,
    Skipped,
}

fn parse_authorities(json: &[u8], unknown_uses: UnknownUses) -> Result<Authorities, JwksError> {
    let document = parse_document(json)?;
    if document.spiffe_refresh_hint < 0 {
        return Err(JwksError::RefreshHint(document.spiffe_refresh_hint));
    }
    let mut read = Authorities { refresh_hint: document.spiffe_refresh_hint, ..Authorities::default() };
    for (entry, jwk) in document.keys.ok_or(JwksError::NoAuthorities)?.0.into_iter().enumerate() {
        match jwk.usage.as_str() {
            USE_X509_SVID => read.x509.push(read_x509(entry, &jwk)?),
            USE_JWT_SVID => read.jwt.push(read_jwt(entry, jwk)?),
            USE_WIT_SVID => {}
            _ if unknown_uses == UnknownUses::Skipped => {}
            "" => return Err(JwksError::MissingUse { entry }),
            _ => return Err(JwksError::UnknownUse { entry, usage: jwk.usage }),
        }
    }
    Ok(read)
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of at most {KEYS_MAX} keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Keys, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = items.next_element()? {
            if keys.len() == KEYS_MAX {
                return Err(A::Error::invalid_length(KEYS_MAX + 1, &self));
            }
            keys.push(key);
        }
        Ok(Keys(keys))
    }
}

fn parse_document(json: &[u8]) -> Result<Document, JwksError> {
    if json.len() > BUNDLE_BYTES_MAX {
        return Err(JwksError::TooLarge { bytes: json.len() });
    }
    serde_json::from_slice(json).map_err(|error| JwksError::Json(error.to_string()))
}

fn print(document: &Document) -> String {
    print_indented(document, b"    ")
}

fn print_compact(document: &Document) -> String {
    // As with indentation.
    serde_json::to_string(document).unwrap_or_default()
}

fn print_indented(document: &Document, indent: &[u8]) -> String {
    let mut json = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut json, PrettyFormatter::with_indent(indent));
    // Writing strings and integers into memory cannot fail.
    let _ = document.serialize(&mut serializer);
    String::from_utf8(json).unwrap_or_default()
}

fn x509_jwk(authority: &X509Authority) -> Result<Jwk, PublicKeyError> {
    let (_, certificate) = X509Certificate::from_der(&authority.der).map_err(|_| PublicKeyError::Malformed)?;
    let jwk = key_members(&PublicKey::from_parsed(certificate.public_key())?);
    Ok(Jwk { usage: USE_X509_SVID.into(), x5c: vec![STANDARD.encode(&authority.der)], ..jwk })
}

fn jwt_jwk(authority: &JwtAuthority) -> Result<Jwk, PublicKeyError> {
    let jwk = key_members(&PublicKey::from_spki(&authority.public_key)?);
    Ok(Jwk { kid: authority.key_id.clone(), ..jwk })
}

/// RFC 7518, section 6, and RFC 8037 for Ed25519.
fn key_members(key: &PublicKey) -> Jwk {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    if let Some((x, y)) = key.ec_coordinates() {
        Jwk { kty: "EC".into(), crv: curve_name(key.kind()).into(), x: encode(x), y: encode(y), ..Jwk::default() }
    } else if let Some((n, e)) = key.rsa_components() {
        Jwk { kty: "RSA".into(), n: encode(&n), e: encode(&e), ..Jwk::default() }
    } else {
        Jwk { kty: "OKP".into(), crv: curve_name(key.kind()).into(), x: encode(key.bits()), ..Jwk::default() }
    }
}

fn read_x509(entry: usize, jwk: &Jwk) -> Result<X509Authority, JwksError> {
    let bad = |reason: &str| JwksError::BadKey { entry, reason: reason.into() };
    let [certificate] = jwk.x5c.as_slice() else {
        return Err(JwksError::CertificateCount { entry, certificates: jwk.x5c.len() });
    };
    let der = STANDARD.decode(certificate).map_err(|_| bad("x5c is not base64"))?;
    let (rest, certificate) = X509Certificate::from_der(&der).map_err(|_| bad("x5c is not a certificate"))?;
    if !rest.is_empty() {
        return Err(bad("bytes follow the certificate in x5c"));
    }
    let key = read_key(entry, jwk)?;
    if certificate.public_key().raw != key.spki() {
        return Err(bad("the public keys in key and x5c fields do not match"));
    }
    Ok(X509Authority { der, tainted: false })
}

fn read_jwt(entry: usize, jwk: Jwk) -> Result<JwtAuthority, JwksError> {
    if jwk.kid.is_empty() {
        return Err(JwksError::MissingKeyId { entry });
    }
    let public_key = read_key(entry, &jwk)?.spki().to_vec();
    Ok(JwtAuthority { public_key, key_id: jwk.kid, expires_at: 0, tainted: false })
}

fn read_key(entry: usize, jwk: &Jwk) -> Result<PublicKey, JwksError> {
    let bad = |reason: String| JwksError::BadKey { entry, reason };
    let decode = |name: &str, member: &str| {
        URL_SAFE_NO_PAD.decode(member).map_err(|_| bad(format!("{name} is not unpadded base64url")))
    };
    match jwk.kty.as_str() {
        "EC" => {
            let curves = [PublicKeyKind::EcP256, PublicKeyKind::EcP384, PublicKeyKind::EcP521];
            let curve = curves.into_iter().find(|kind| curve_name(*kind) == jwk.crv);
            let curve = curve.ok_or_else(|| bad(format!("unsupported curve {:?}", jwk.crv)))?;
            let (x, y) = (decode("x", &jwk.x)?, decode("y", &jwk.y)?);
            PublicKey::from_ec_point(curve, &x, &y).ok_or_else(|| bad("x and y are no point on the curve".into()))
        }
        "RSA" => {
            let (n, e) = (decode("n", &jwk.n)?, decode("e", &jwk.e)?);
            PublicKey::from_rsa_components(&n, &e).map_err(|error| bad(error.to_string()))
        }
        "OKP" if jwk.crv == curve_name(PublicKeyKind::Ed25519) => {
            PublicKey::from_ed25519(&decode("x", &jwk.x)?).ok_or_else(|| bad("x has the wrong length".into()))
        }
        other => Err(bad(format!("unsupported key type {other:?}"))),
    }
}

pub(crate) fn curve_name(kind: PublicKeyKind) -> &'static str {
    match kind {
        PublicKeyKind::EcP256 => "P-256",
        PublicKeyKind::EcP384 => "P-384",
        PublicKeyKind::EcP521 => "P-521",
        PublicKeyKind::Ed25519 => "Ed25519",
        PublicKeyKind::Rsa { .. } => "",
    }
}

/// RFC 7518, section 3.1; empty for keys that sign no JWT-SVID.
fn algorithm(jwk: &Jwk) -> &'static str {
    match (jwk.kty.as_str(), jwk.crv.as_str()) {
        ("RSA", _) => "RS256",
        ("EC", "P-256") => "ES256",
        ("EC", "P-384") => "ES384",
        _ => "",
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

const USE_SIG: &str = "sig";
const USE_X509_SVID: &str = "x509-svid";
const USE_JWT_SVID: &str = "jwt-svid";
const USE_WIT_SVID: &str = "wit-svid";
/// A gRPC message of SPIRE's default size; thousands of authorities.
pub const BUNDLE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Authorities of one bundle. A trust domain has a handful; a server of SPIRE's adds two each day at most.
pub const KEYS_MAX: usize = 10_000;
