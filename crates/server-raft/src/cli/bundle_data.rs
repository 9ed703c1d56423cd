//! Bundles as files: PEM certificates or the SPIFFE document.

use std::io::Write;

use serde::Deserialize;
use steeple_api::convert::{bundle_from_wire, bundle_to_wire};
use steeple_api::types::{Bundle, X509Certificate};
use steeple_ca::certificate;
use steeple_ca::jwks::{JwksError, parse_spiffe_bundle_leniently, print_spiffe_bundle};
use steeple_cli::{Context, Failure, pem_text};
use steeple_core::{TrustDomain, json_syntax_error};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BundleFormat {
    Pem,
    Spiffe,
}

#[derive(Deserialize)]
struct Sequence {
    #[serde(default)]
    spiffe_sequence: u64,
}

/// The value of `-format`; empty is PEM.
pub(super) fn bundle_format(text: &str) -> Result<BundleFormat, Failure> {
    match text.to_lowercase().as_str() {
        "" | "pem" => Ok(BundleFormat::Pem),
        "spiffe" => Ok(BundleFormat::Spiffe),
        lower => Err(Failure::Message(format!("invalid format: {lower:?}"))),
    }
}

/// A bundle for the trust domain `id` (a name or a SPIFFE ID, which the server checks).
pub(super) fn parse_bundle(id: &str, data: &[u8], format: BundleFormat) -> Result<Bundle, Failure> {
    match format {
        BundleFormat::Pem => {
            let x509_authorities = parse_certificates(data)?;
            Ok(Bundle { trust_domain: id.to_owned(), x509_authorities, ..Bundle::default() })
        }
        BundleFormat::Spiffe => {
            let trust_domain = TrustDomain::parse(id).map_err(Failure::message)?;
            if let Some(reason) = json_syntax_error(data) {
                return Err(not_spiffe(JwksError::Json(reason)));
            }
            let mut bundle = parse_spiffe_bundle_leniently(&trust_domain, data).map_err(not_spiffe)?;
            // A server that polls makes up its own sequence; an operator's file says it (SPIRE behaviour).
            let sequence: Sequence = serde_json::from_slice(data).map_err(Failure::message)?;
            bundle.sequence = sequence.spiffe_sequence;
            Ok(bundle_to_wire(&bundle, None))
        }
    }
}

/// In go-spiffe's words, which SPIRE's commands pass on.
fn not_spiffe(error: JwksError) -> Failure {
    let why = match error {
        JwksError::Json(reason) => format!("unable to parse JWKS: {reason}"),
        JwksError::MissingKeyId { entry } => format!("error adding authority {entry} of JWKS: keyID cannot be empty"),
        error @ JwksError::BadKey { .. } => format!("unable to parse JWKS: {error}"),
        error => error.to_string(),
    };
    Failure::Message(format!("unable to parse to spiffe bundle: spiffebundle: {why}"))
}

pub(super) fn print_bundle(out: &mut dyn Write, bundle: &Bundle, format: BundleFormat) -> Result<(), Failure> {
    match format {
        BundleFormat::Pem => {
            let mut authorities = bundle.x509_authorities.iter();
            authorities.try_for_each(|authority| Ok(write!(out, "{}", pem_text("CERTIFICATE", &authority.asn1))?))
        }
        BundleFormat::Spiffe => {
            let bundle = bundle_from_wire(bundle, None).map_err(Failure::message)?;
            let document = print_spiffe_bundle(&bundle).map_err(Failure::message)?;
            Ok(writeln!(out, "{document}")?)
        }
    }
}

fn parse_certificates(data: &[u8]) -> Result<Vec<X509Certificate>, Failure> {
    let mut certificates = Vec::new();
    for block in pem::parse_many(data).map_err(Failure::message).context("unable to parse bundle data")? {
        if block.tag() != "CERTIFICATE" {
            return Err(Failure::Message(format!(
                "unable to parse bundle data: expected block type \"CERTIFICATE\"; got {:?}",
                block.tag()
            )));
        }
        if certificate::facts(block.contents()).is_none() {
            let at = certificates.len() + 1;
            let what = format!("unable to parse \"CERTIFICATE\" PEM block {at}: x509: malformed certificate");
            return Err(Failure::Message(what)).context("unable to parse bundle data");
        }
        certificates.push(X509Certificate { asn1: block.into_contents(), tainted: false });
    }
    if certificates.is_empty() {
        return Err(Failure::message("unable to parse bundle data: no PEM blocks"));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        assert_eq!(bundle_format("PEM").unwrap(), BundleFormat::Pem);
        assert_eq!(bundle_format("der").unwrap_err().to_string(), "invalid format: \"der\"");
    }

    #[test]
    fn pem_reads_back() {
        let made = rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert;
        let certificates = parse_certificates(made.pem().as_bytes()).unwrap();
        assert_eq!(certificates.len(), 1);
        assert_eq!(certificates[0].asn1, made.der().to_vec());
        let second = made.pem() + &pem_text("CERTIFICATE", &[7; 100]);
        assert_eq!(
            parse_certificates(second.as_bytes()).unwrap_err().to_string(),
            "unable to parse bundle data: unable to parse \"CERTIFICATE\" PEM block 2: x509: malformed certificate"
        );
    }

    #[test]
    fn a_documents_sequence_is_kept() {
        let bundle = parse_bundle("one.test", br#"{"keys": [], "spiffe_sequence": 4}"#, BundleFormat::Spiffe).unwrap();
        assert_eq!((bundle.trust_domain.as_str(), bundle.sequence_number), ("one.test", 4));
    }

    #[test]
    fn keys_for_other_uses_are_skipped_and_the_words_are_go_spiffes() {
        let parse = |json: &str| parse_bundle("one.test", json.as_bytes(), BundleFormat::Spiffe);
        let bundle = parse(r#"{"keys": [{"kty": "EC"}, {"kty": "EC", "use": "sig"}]}"#).unwrap();
        assert!(bundle.x509_authorities.is_empty() && bundle.jwt_authorities.is_empty());
        for (json, why) in [
            ("", "unable to parse JWKS: unexpected end of JSON input"),
            ("-----BEGIN", "unable to parse JWKS: invalid character '-' in numeric literal"),
            ("{}", "no authorities found"),
            (r#"{"keys": [{"use": "x509-svid"}]}"#, "expected a single certificate in x509-svid entry 0; got 0"),
            (r#"{"keys": [{"use": "jwt-svid"}]}"#, "error adding authority 0 of JWKS: keyID cannot be empty"),
        ] {
            let told = parse(json).unwrap_err().to_string();
            assert_eq!(told, format!("unable to parse to spiffe bundle: spiffebundle: {why}"));
        }
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        for data in [&b""[..], b"nonsense"] {
            let error = parse_bundle("one.test", data, BundleFormat::Pem).unwrap_err();
            assert_eq!(error.to_string(), "unable to parse bundle data: no PEM blocks");
        }
        let key = pem_text("PRIVATE KEY", &[1]);
        assert!(parse_bundle("one.test", key.as_bytes(), BundleFormat::Pem).is_err());
        assert!(parse_bundle("one.test", b"{}", BundleFormat::Spiffe).is_err());
        assert!(parse_bundle("b d", b"{\"keys\":[]}", BundleFormat::Spiffe).is_err());
    }
}
