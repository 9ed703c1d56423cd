//! Chain verification for certificates of nodes: any extended key usage, as SPIRE asks for.

mod antedated;

use std::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use steeple_core::Timestamp;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};

use self::antedated::{OverWhatWasSigned, Shown};

/// Accepts every extended key usage (Go's `ExtKeyUsageAny`).
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        for purpose in purposes {
            purpose?;
        }
        Ok(())
    }
}

/// As Go's `crypto/x509` says it, where operators look for the words.
pub(crate) fn in_go_words(error: &webpki::Error) -> String {
    match error {
        // The latter of an issuer with the name of a known one.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            "x509: certificate signed by unknown authority".to_owned()
        }
        webpki::Error::CertExpired { time, not_after: edge }
        | webpki::Error::CertNotValidYet { time, not_before: edge } => {
            let side = if matches!(error, webpki::Error::CertExpired { .. }) { "after" } else { "before" };
            let [time, edge] =
                [time, edge].map(|at| Timestamp::from_secs(i64::try_from(at.as_secs()).unwrap_or(i64::MAX)));
            format!("x509: certificate has expired or is not yet valid: current time {time} is {side} {edge}")
        }
        other => format!("x509: {other}"),
    }
}

/// Verifies `leaf` and returns the chain after it, root last, as DER.
pub(crate) fn verify(
    leaf: &[u8],
    intermediates: &[Vec<u8>],
    roots: &[Vec<u8>],
    now: Timestamp,
) -> Result<Vec<Vec<u8>>, webpki::Error> {
    let shown = |ders: &[Vec<u8>]| -> Vec<Shown> { ders.iter().map(|der| Shown::of(der)).collect() };
    let (shown_leaf, shown_intermediates, shown_roots) = (Shown::of(leaf), shown(intermediates), shown(roots));
    let algorithms = over_what_was_signed(shown_intermediates.iter().chain([&shown_leaf]));
    let algorithms: Vec<&dyn SignatureVerificationAlgorithm> =
        algorithms.iter().map(|algorithm| algorithm as &dyn SignatureVerificationAlgorithm).collect();
    let roots_der = as_shown(&shown_roots);
    let mut anchors: Vec<TrustAnchor<'_>> = Vec::with_capacity(roots_der.len());
    for root in &roots_der {
        anchors.push(webpki::anchor_from_trusted_cert(root)?);
    }
    let leaf = CertificateDer::from(shown_leaf.der.as_slice());
    let ders = as_shown(&shown_intermediates);
    let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_secs()).unwrap_or(0)));
    let certificate = EndEntityCert::try_from(&leaf)?;
    let path = certificate.verify_for_usage(&algorithms, &anchors, &ders, time, AnyUsage, None, None)?;
    let in_truth =
        |shown: &[u8]| ders.iter().position(|der| der.as_ref() == shown).and_then(|at| intermediates.get(at));
    let mut chain: Vec<Vec<u8>> =
        path.intermediate_certificates().filter_map(|cert| in_truth(cert.der().as_ref())).cloned().collect();
    let anchor = path.anchor();
    let root = anchors.iter().position(|candidate| candidate == anchor).and_then(|index| roots.get(index));
    chain.extend(root.cloned());
    Ok(chain)
}

fn as_shown(certificates: &[Shown]) -> Vec<CertificateDer<'_>> {
    certificates.iter().map(|shown| CertificateDer::from(shown.der.as_slice())).collect()
}

fn over_what_was_signed<'a>(certificates: impl Iterator<Item = &'a Shown>) -> Vec<OverWhatWasSigned> {
    let messages: Vec<(Vec<u8>, Vec<u8>)> = certificates.filter_map(Shown::message).collect();
    let over = |algorithm: &&'static dyn SignatureVerificationAlgorithm| OverWhatWasSigned {
        algorithm: *algorithm,
        messages: messages.clone(),
    };
    webpki::ALL_VERIFICATION_ALGS.iter().map(over).collect()
}

/// Why a certificate cannot be at the end of a path.
pub(crate) fn check_root(der: &[u8]) -> Result<(), String> {
    let shown = Shown::of(der);
    let der = CertificateDer::from(shown.der.as_slice());
    webpki::anchor_from_trusted_cert(&der).map(drop).map_err(|error| format!("x509: {error}"))
}
