//! Chain verification by SPIFFE rules (X.509-SVID standard, sections 3 to 5), as a function of values.
//!
//! The URI SAN of the leaf chooses the trust domain, and only that domain's roots may vouch for the chain: a federated
//! domain can never sign for another one. URI name constraints are not supported by webpki, which refuses every chain
//! that carries them (it fails closed).

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use steeple_core::{IdError, SpiffeId, Timestamp, TrustDomain};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::TrustRoots;

/// What the peer uses its certificate for. An extended key usage extension, where present, must allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// The peer is a TLS client.
    Client,
    /// The peer is a TLS server.
    Server,
}

/// Why a chain is not an X.509-SVID that we accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    #[error("certificate {index} is {bytes} bytes long; at most {CERT_BYTES_MAX} are read")]
    CertificateTooLarge { index: usize, bytes: usize },
    #[error("certificate chain does not verify: {0}")]
    Chain(webpki::Error),
    #[error("certificate chain has {certs} certificates; at most {CHAIN_CERTS_MAX} are read")]
    ChainTooLong { certs: usize },
    #[error("certificate chain is empty")]
    EmptyChain,
    #[error("x509: certificate has expired: not valid after {not_after}")]
    Expired { not_after: Timestamp },
    #[error("certificate URI SAN is not a SPIFFE ID: {0}")]
    InvalidId(IdError),
    #[error("certificate {index} has an RSA key of {bits} bits; at most {RSA_KEY_BITS_MAX} are used")]
    KeyTooLarge { index: usize, bits: usize },
    #[error("leaf certificate must not be a CA and must not have the keyCertSign or cRLSign key usage")]
    LeafIsCa,
    #[error("certificate {index} cannot be parsed: {reason}")]
    Malformed { index: usize, reason: String },
    #[error("certificate has no URI SAN")]
    NoUri,
    #[error("intermediate certificate {index} lacks the keyCertSign key usage")]
    NotAnIssuer { index: usize },
    #[error("SPIFFE ID {0} may not connect here")]
    NotPermitted(SpiffeId),
    #[error("x509: certificate is not yet valid: not valid before {not_before}; compare the clocks of both machines")]
    NotYetValid { not_before: Timestamp },
    #[error("certificate has {count} URI SANs; an X.509-SVID has exactly one")]
    SeveralUris { count: usize },
    #[error("unexpected peer: got {got}, expected {expected}")]
    UnexpectedId { got: SpiffeId, expected: SpiffeId },
    /// No root of the trust domain signed this chain. SPIRE's rebootstrap logic watches for this text.
    #[error("x509: certificate signed by unknown authority (trust domain {0})")]
    UnknownAuthority(TrustDomain),
    #[error("no X.509 bundle for trust domain {0}")]
    UnknownTrustDomain(TrustDomain),
    /// By the rules of the web this is nobody's certificate; by those of SPIFFE it might be.
    #[error(
        "failed to authenticate bundle endpoint using web authentication but the server certificate contains SPIFFE \
         ID \"{id}\": maybe use https_spiffe instead of https_web: {reason}"
    )]
    WebRefusesSvid { id: SpiffeId, reason: String },
}

/// Verifies `chain` (leaf first, DER) at `now` against the roots of the trust domain that its leaf names.
pub fn verify_chain(
    chain: &[CertificateDer<'_>],
    roots: &TrustRoots,
    now: Timestamp,
    usage: Usage,
) -> Result<SpiffeId, VerifyError> {
    let leaf = check_shape(chain)?;
    let id = spiffe_id(&leaf)?;
    check_validity(&leaf, now)?;
    let trust_domain = id.trust_domain();
    let anchors = roots.anchors(&trust_domain).ok_or(VerifyError::UnknownTrustDomain(trust_domain.clone()))?;

    let end_entity = EndEntityCert::try_from(&chain[0]).map_err(VerifyError::Chain)?;
    let eku = match usage {
        Usage::Client => KeyUsage::client_auth(),
        Usage::Server => KeyUsage::server_auth(),
    };
    end_entity
        .verify_for_usage(SIGNATURE_ALGORITHMS, anchors, &chain[1..], unix_time(now), eku, None, None)
        .map_err(|error| chain_error(error, trust_domain))?;
    Ok(id)
}

/// Whether any chain of roots could vouch for this: sizes, key usages and the leaf's form. Returns the parsed leaf.
pub(super) fn check_shape<'a>(chain: &'a [CertificateDer<'_>]) -> Result<X509Certificate<'a>, VerifyError> {
    if chain.len() > CHAIN_CERTS_MAX {
        return Err(VerifyError::ChainTooLong { certs: chain.len() });
    }
    let (first, intermediates) = chain.split_first().ok_or(VerifyError::EmptyChain)?;
    let leaf = parse(0, first)?;
    check_leaf(&leaf)?;
    for (position, der) in intermediates.iter().enumerate() {
        check_intermediate(position + 1, &parse(position + 1, der)?)?;
    }
    Ok(leaf)
}

/// The one URI SAN, which must be a SPIFFE ID.
pub(super) fn spiffe_id(leaf: &X509Certificate<'_>) -> Result<SpiffeId, VerifyError> {
    let uris = uri_sans(leaf)?;
    match uris.as_slice() {
        [] => Err(VerifyError::NoUri),
        [uri] => SpiffeId::parse(uri).map_err(VerifyError::InvalidId),
        more => Err(VerifyError::SeveralUris { count: more.len() }),
    }
}

/// Fails when a URI SAN is unreadable, so that a hidden second name is never overlooked.
pub(super) fn uri_sans<'a>(leaf: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, VerifyError> {
    let malformed = |reason: &str| VerifyError::Malformed { index: 0, reason: reason.to_owned() };
    let san = leaf.subject_alternative_name().map_err(|_| malformed("subject alternative name"))?;
    let names = san.map(|san| san.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = Vec::new();
    for name in names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::Invalid(..) => return Err(malformed("a subject alternative name")),
            _ => {}
        }
    }
    Ok(uris)
}

fn parse<'a>(index: usize, der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, VerifyError> {
    if der.len() > CERT_BYTES_MAX {
        return Err(VerifyError::CertificateTooLarge { index, bytes: der.len() });
    }
    let malformed = |reason: String| VerifyError::Malformed { index, reason };
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| malformed(error.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed("bytes after the certificate".to_owned()));
    }
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed()
        && key.key_size() > RSA_KEY_BITS_MAX
    {
        return Err(VerifyError::KeyTooLarge { index, bits: key.key_size() });
    }
    Ok(certificate)
}

fn check_leaf(leaf: &X509Certificate<'_>) -> Result<(), VerifyError> {
    let malformed = |reason: &str| VerifyError::Malformed { index: 0, reason: reason.to_owned() };
    let usage = leaf.key_usage().map_err(|_| malformed("key usage"))?;
    let issues = usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign());
    let constraints = leaf.basic_constraints().map_err(|_| malformed("basic constraints"))?;
    if issues || constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(VerifyError::LeafIsCa);
    }
    Ok(())
}

/// webpki leaves the key usage of issuers alone; Go and the X.509-SVID standard (section 4.3) do not.
fn check_intermediate(index: usize, certificate: &X509Certificate<'_>) -> Result<(), VerifyError> {
    let usage = certificate.key_usage();
    let usage = usage.map_err(|_| VerifyError::Malformed { index, reason: "key usage".to_owned() })?;
    match usage {
        Some(usage) if !usage.value.key_cert_sign() => Err(VerifyError::NotAnIssuer { index }),
        _ => Ok(()),
    }
}

/// webpki would find this too, but only after it found a path; said first, the cause is plain.
fn check_validity(leaf: &X509Certificate<'_>, now: Timestamp) -> Result<(), VerifyError> {
    let validity = leaf.validity();
    let not_before = Timestamp::from_secs(validity.not_before.timestamp());
    let not_after = Timestamp::from_secs(validity.not_after.timestamp());
    if now < not_before {
        return Err(VerifyError::NotYetValid { not_before });
    }
    if now.as_secs() > not_after.as_secs() {
        return Err(VerifyError::Expired { not_after });
    }
    Ok(())
}

fn chain_error(error: webpki::Error, trust_domain: TrustDomain) -> VerifyError {
    use webpki::Error;
    match error {
        // A root re-keyed under the same subject shows as a wrong signature: to the operator both are one case.
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => VerifyError::UnknownAuthority(trust_domain),
        Error::CaUsedAsEndEntity => VerifyError::LeafIsCa,
        other => VerifyError::Chain(other),
    }
}

pub(super) fn unix_time(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(now.as_secs()).unwrap_or(0)))
}

/// Leaf, the six intermediates that webpki follows, and a root that some servers send along.
pub const CHAIN_CERTS_MAX: usize = 8;
/// An X.509-SVID is 1 to 2 KiB; this leaves room for RSA-8192 and long names.
pub const CERT_BYTES_MAX: usize = 16 * 1024;
/// Go's limit in TLS; verifying larger keys lets a stranger burn our CPU.
pub const RSA_KEY_BITS_MAX: usize = 8192;

/// What the aws-lc provider verifies in TLS, spelled out so that an upgrade cannot widen it unseen.
pub(super) static SIGNATURE_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::aws_lc_rs::ECDSA_P256_SHA256,
    webpki::aws_lc_rs::ECDSA_P256_SHA384,
    webpki::aws_lc_rs::ECDSA_P384_SHA256,
    webpki::aws_lc_rs::ECDSA_P384_SHA384,
    webpki::aws_lc_rs::ECDSA_P521_SHA256,
    webpki::aws_lc_rs::ECDSA_P521_SHA384,
    webpki::aws_lc_rs::ECDSA_P521_SHA512,
    webpki::aws_lc_rs::ED25519,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA384,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA512,
    webpki::aws_lc_rs::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    webpki::aws_lc_rs::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    webpki::aws_lc_rs::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];
