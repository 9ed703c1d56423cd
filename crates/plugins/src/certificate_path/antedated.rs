//! Certificates that begin before 1970.
//!
//! Go writes the year 1 where a program names no beginning, as the test suites of SPIRE do, and its verifier takes it.
//! The library that builds and checks paths here reads no date before 1970. So it is shown a copy that begins in 1970,
//! which is as long over for every clock, and each signature is checked over what was signed.

use std::ops::Range;

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A certificate as the library sees it.
pub(super) struct Shown {
    pub(super) der: Vec<u8>,
    /// What was signed, in `der` and in truth; `None` when they are the same.
    signed: Option<(Range<usize>, Vec<u8>)>,
}

/// An algorithm of the library, over what was signed.
#[derive(Debug)]
pub(super) struct OverWhatWasSigned {
    pub(super) algorithm: &'static dyn SignatureVerificationAlgorithm,
    /// As shown, and in truth.
    pub(super) messages: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Shown {
    pub(super) fn of(der: &[u8]) -> Self {
        let mut shown = Self { der: der.to_vec(), signed: None };
        if let Some((signed, date, epoch)) = beginning_before_1970(der) {
            shown.signed = Some((signed.clone(), der[signed].to_vec()));
            shown.der[date].copy_from_slice(epoch);
        }
        shown
    }

    /// What a signature over the copy would be about, and what it is about.
    pub(super) fn message(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let (range, signed) = self.signed.as_ref()?;
        Some((self.der[range.clone()].to_vec(), signed.clone()))
    }
}

impl SignatureVerificationAlgorithm for OverWhatWasSigned {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let known = self.messages.iter().find(|(shown, _)| shown == message);
        let signed = known.map_or(message, |(_, signed)| signed);
        self.algorithm.verify_signature(public_key, signed, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

/// Where the part that is signed lies, where in it the date of the beginning, and 1970 in the same form.
fn beginning_before_1970(der: &[u8]) -> Option<(Range<usize>, Range<usize>, &'static [u8])> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    if certificate.validity().not_before.timestamp() >= 0 {
        return None;
    }
    let place = |part: &[u8]| {
        let start = (part.as_ptr() as usize).checked_sub(der.as_ptr() as usize)?;
        let end = start.checked_add(part.len()).filter(|end| *end <= der.len())?;
        Some(start..end)
    };
    let signed = place(certificate.tbs_certificate.as_ref())?;
    // RFC 5280, section 4.1: the validity comes after the issuer, a SEQUENCE of two times, each shorter than 128 bytes.
    let validity = place(certificate.issuer().as_raw())?.end;
    let [SEQUENCE, _, tag, length, ..] = *der.get(validity..)? else { return None };
    let epoch: &[u8] = match tag {
        UTC_TIME => b"700101000000Z",
        GENERALIZED_TIME => b"19700101000000Z",
        _ => return None,
    };
    let date = validity + HEADERS..validity + HEADERS + epoch.len();
    let fits = usize::from(length) == epoch.len() && signed.start <= date.start && date.end <= signed.end;
    fits.then_some((signed, date, epoch))
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Tag and length of the validity and of its first time.
const HEADERS: usize = 4;
