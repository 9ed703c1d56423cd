//! Certificate signing requests (PKCS#10, RFC 2986): what one says, whether its sender holds the key, and writing one.
//!
//! Parsing and proof of possession are two functions, because node attestation takes only the public key of a CSR and
//! never checks its signature (SPIRE behaviour). Every other caller must call [`Csr::verify_signature`].

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use steeple_core::{SpiffeId, TrustDomain};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::signature_algorithm::SignatureAlgorithm;
use yasna::models::ObjectIdentifier;
use yasna::{Tag, construct_der};

use crate::der::{OID_EXTENSION_REQUEST, OID_SUBJECT_ALT_NAME, signed, subject_alt_names, write_extension};
use crate::template::Template;
use crate::{DistinguishedName, KeyError, PublicKey, PublicKeyError, PublicKeyKind, Serial, SigningKey};

/// A parsed request. Nothing in it is to be believed but the public key, and that only after
/// [`Self::verify_signature`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    pub public_key: PublicKey,
    /// `None` where nothing is asked for.
    pub subject: Option<DistinguishedName>,
    pub dns_names: Vec<String>,
    /// URI SANs as they came; a SPIFFE SVID request has exactly one.
    pub uris: Vec<String>,
    /// DER of what was signed.
    signed: Vec<u8>,
    signature: Vec<u8>,
    /// `None` for a signature algorithm that is not accepted.
    algorithm: Option<Algorithm>,
}

/// The texts of the signature variants are those of Go's `crypto/x509`, which SPIRE passes on to clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    #[error("CSR has {bytes} bytes, more than the {CSR_BYTES_MAX} allowed")]
    TooLarge { bytes: usize },
    #[error("not a PKCS#10 certificate request in DER")]
    Malformed,
    #[error("{names} subject alternative names are more than the {NAMES_MAX} allowed")]
    TooManyNames { names: usize },
    #[error(transparent)]
    PublicKey(#[from] PublicKeyError),
    #[error("x509: cannot verify signature: algorithm unimplemented or insecure")]
    SignatureAlgorithm,
    #[error("x509: ECDSA verification failure")]
    EcdsaSignature,
    #[error("crypto/rsa: verification error")]
    RsaSignature,
    #[error("x509: Ed25519 verification failure")]
    Ed25519Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Ecdsa(Hash),
    RsaPkcs1(Hash),
    RsaPss(Hash),
    Ed25519,
}

/// SHA-1 is missing on purpose: it proves nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Csr {
    /// Reads a DER request of at most [`CSR_BYTES_MAX`] bytes. Its signature is not checked.
    pub fn parse(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > CSR_BYTES_MAX {
            return Err(CsrError::TooLarge { bytes: der.len() });
        }
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| CsrError::Malformed)?;
        if !rest.is_empty() {
            return Err(CsrError::Malformed);
        }
        let info = &request.certification_request_info;
        let (mut dns_names, mut uris) = (Vec::new(), Vec::new());
        for extension in request.requested_extensions().into_iter().flatten() {
            let names = match extension {
                ParsedExtension::SubjectAlternativeName(san) => &san.general_names,
                // A known extension that cannot be read, perhaps the very names.
                ParsedExtension::ParseError { .. } => return Err(CsrError::Malformed),
                _ => continue,
            };
            if names.len() > NAMES_MAX {
                return Err(CsrError::TooManyNames { names: names.len() });
            }
            for name in names {
                match name {
                    GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                    GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                    GeneralName::Invalid(..) => return Err(CsrError::Malformed),
                    _ => {}
                }
            }
        }
        Ok(Self {
            public_key: PublicKey::from_parsed(&info.subject_pki)?,
            subject: DistinguishedName::asked(&info.subject),
            dns_names,
            uris,
            signed: info.raw.to_vec(),
            signature: request.signature_value.data.to_vec(),
            algorithm: algorithm_of(&request),
        })
    }

    /// Proof of possession: the request is signed with the private half of its public key.
    pub fn verify_signature(&self) -> Result<(), CsrError> {
        let kind = self.public_key.kind();
        let verification = self.algorithm.and_then(|algorithm| verification(algorithm, kind));
        let verification = verification.ok_or(CsrError::SignatureAlgorithm)?;
        let verified =
            UnparsedPublicKey::new(verification, self.public_key.bits()).verify(&self.signed, &self.signature);
        verified.map_err(|_| match kind {
            PublicKeyKind::Rsa { .. } => CsrError::RsaSignature,
            PublicKeyKind::Ed25519 => CsrError::Ed25519Signature,
            PublicKeyKind::EcP256 | PublicKeyKind::EcP384 | PublicKeyKind::EcP521 => CsrError::EcdsaSignature,
        })
    }
}

/// Writes and signs a request for `spiffe_id` in DER, with the subject that SPIRE's agents and command line use.
pub fn request(key: &SigningKey, spiffe_id: &SpiffeId, dns_names: &[String]) -> Result<Vec<u8>, KeyError> {
    write(key, &DistinguishedName::default_svid(), &subject_alt_names(dns_names, spiffe_id.as_str()))
}

/// Writes and signs a request for the CA of a server, which an authority above it is to sign: the subject is
/// `ca_subject` with a serial number, as a self-signed CA has it.
pub fn ca_request(
    key: &SigningKey,
    trust_domain: &TrustDomain,
    ca_subject: &DistinguishedName,
    serial: Serial,
) -> Result<Vec<u8>, KeyError> {
    let template = Template::server_ca(trust_domain, ca_subject, serial);
    write(key, &template.subject, &subject_alt_names(&[], template.spiffe_id.as_str()))
}

/// `names` is DER of the subject alternative names.
fn write(key: &SigningKey, subject: &DistinguishedName, names: &[u8]) -> Result<Vec<u8>, KeyError> {
    let info = construct_der(|writer| {
        writer.write_sequence(|info| {
            info.next().write_u8(0);
            info.next().write_der(&subject.to_der());
            info.next().write_der(key.public_key().spki());
            info.next().write_tagged_implicit(Tag::context(0), |writer| {
                writer.write_set(|attributes| {
                    attributes.next().write_sequence(|attribute| {
                        attribute.next().write_oid(&ObjectIdentifier::from_slice(OID_EXTENSION_REQUEST));
                        attribute.next().write_set(|values| {
                            values.next().write_sequence(|extensions| {
                                write_extension(extensions, OID_SUBJECT_ALT_NAME, false, names);
                            });
                        });
                    });
                });
            });
        });
    });
    Ok(signed(&info, key.key_type(), &key.sign_x509(&info)?))
}

fn algorithm_of(request: &X509CertificationRequest<'_>) -> Option<Algorithm> {
    let identifier = &request.signature_algorithm;
    if let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(identifier) {
        let hash = match parameters.hash_algorithm_oid().to_id_string().as_str() {
            "2.16.840.1.101.3.4.2.1" => Hash::Sha256,
            "2.16.840.1.101.3.4.2.2" => Hash::Sha384,
            "2.16.840.1.101.3.4.2.3" => Hash::Sha512,
            _ => return None,
        };
        return Some(Algorithm::RsaPss(hash));
    }
    let arcs: Vec<u64> = identifier.algorithm.iter()?.collect();
    match arcs.as_slice() {
        [1, 2, 840, 10045, 4, 3, 2] => Some(Algorithm::Ecdsa(Hash::Sha256)),
        [1, 2, 840, 10045, 4, 3, 3] => Some(Algorithm::Ecdsa(Hash::Sha384)),
        [1, 2, 840, 10045, 4, 3, 4] => Some(Algorithm::Ecdsa(Hash::Sha512)),
        [1, 2, 840, 113549, 1, 1, 11] => Some(Algorithm::RsaPkcs1(Hash::Sha256)),
        [1, 2, 840, 113549, 1, 1, 12] => Some(Algorithm::RsaPkcs1(Hash::Sha384)),
        [1, 2, 840, 113549, 1, 1, 13] => Some(Algorithm::RsaPkcs1(Hash::Sha512)),
        [1, 3, 101, 112] => Some(Algorithm::Ed25519),
        _ => None,
    }
}

/// `None` where the algorithm does not belong to the kind of key.
fn verification(algorithm: Algorithm, kind: PublicKeyKind) -> Option<&'static dyn VerificationAlgorithm> {
    use Hash::{Sha256, Sha384, Sha512};
    use PublicKeyKind::{EcP256, EcP384, EcP521, Ed25519, Rsa};
    Some(match (algorithm, kind) {
        (Algorithm::Ecdsa(Sha256), EcP256) => &ECDSA_P256_SHA256_ASN1,
        (Algorithm::Ecdsa(Sha384), EcP256) => &ECDSA_P256_SHA384_ASN1,
        (Algorithm::Ecdsa(Sha512), EcP256) => &ECDSA_P256_SHA512_ASN1,
        (Algorithm::Ecdsa(Sha256), EcP384) => &ECDSA_P384_SHA256_ASN1,
        (Algorithm::Ecdsa(Sha384), EcP384) => &ECDSA_P384_SHA384_ASN1,
        (Algorithm::Ecdsa(Sha512), EcP384) => &ECDSA_P384_SHA512_ASN1,
        (Algorithm::Ecdsa(Sha256), EcP521) => &ECDSA_P521_SHA256_ASN1,
        (Algorithm::Ecdsa(Sha384), EcP521) => &ECDSA_P521_SHA384_ASN1,
        (Algorithm::Ecdsa(Sha512), EcP521) => &ECDSA_P521_SHA512_ASN1,
        (Algorithm::RsaPkcs1(Sha256), Rsa { .. }) => &RSA_PKCS1_2048_8192_SHA256,
        (Algorithm::RsaPkcs1(Sha384), Rsa { .. }) => &RSA_PKCS1_2048_8192_SHA384,
        (Algorithm::RsaPkcs1(Sha512), Rsa { .. }) => &RSA_PKCS1_2048_8192_SHA512,
        (Algorithm::RsaPss(Sha256), Rsa { .. }) => &RSA_PSS_2048_8192_SHA256,
        (Algorithm::RsaPss(Sha384), Rsa { .. }) => &RSA_PSS_2048_8192_SHA384,
        (Algorithm::RsaPss(Sha512), Rsa { .. }) => &RSA_PSS_2048_8192_SHA512,
        (Algorithm::Ed25519, Ed25519) => &ED25519,
        _ => return None,
    })
}

/// A request with an RSA-8192 key and a few dozen DNS names has under 8 KiB.
pub const CSR_BYTES_MAX: usize = 64 * 1024;
/// More names than any workload has; each ends up in every certificate.
pub const NAMES_MAX: usize = 1024;
