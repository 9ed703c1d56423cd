//! Signs certificates. The bytes are those that Go's `crypto/x509` would write: the same order of extensions, string
//! types and criticality.

use std::time::Duration;

use steeple_core::{Authority, KeyType, SpiffeId, Timestamp, TrustDomain};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use yasna::{DERWriterSeq, Tag, construct_der};

use super::IssueError;
use crate::der::{
    OID_AUTHORITY_KEY_IDENTIFIER, OID_BASIC_CONSTRAINTS, OID_EXTENDED_KEY_USAGE, OID_KEY_USAGE, OID_SUBJECT_ALT_NAME,
    OID_SUBJECT_KEY_IDENTIFIER, authority_key_identifier, date_time, signed, subject_alt_names, write_extension,
    write_signature_algorithm, write_time,
};
use crate::template::{Profile, Template};
use crate::{Csr, DistinguishedName, PublicKey, Serial, SigningKey};

/// A CA certificate with its private key, ready to sign.
#[derive(Debug)]
pub struct CaIssuer {
    key: SigningKey,
    /// DER of the certificate's subject, copied into what it issues byte for byte.
    subject: Vec<u8>,
    /// The certificate's subject key id, or what it would be.
    key_id: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    /// What follows a leaf in a chain: nothing under a self-signed CA, else the CA and further intermediates.
    chain: Vec<Vec<u8>>,
    /// How many certificates stand between a leaf and the root, at least this CA (for `OU=DOWNSTREAM-n`).
    chain_len: usize,
}

/// What a caller wants to have certified, after all checks.
#[derive(Clone, Debug)]
pub struct SvidRequest {
    pub template: Template,
    pub public_key: PublicKey,
    pub ttl: Duration,
}

/// A new CA.
#[derive(Clone, Debug)]
pub struct CaRequest<'a> {
    pub trust_domain: &'a TrustDomain,
    /// `ca_subject`.
    pub subject: &'a DistinguishedName,
    pub serial: Serial,
    pub ttl: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509Svid {
    pub spiffe_id: SpiffeId,
    /// DER, leaf first, without the root.
    pub chain: Vec<Vec<u8>>,
    pub serial: Serial,
    /// Whole seconds.
    pub not_after: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaCertificate {
    pub der: Vec<u8>,
    pub serial: Serial,
    /// Whole seconds.
    pub not_after: Timestamp,
    /// Lowercase hex of the subject key id: the id of the authority.
    pub authority_id: String,
}

impl CaIssuer {
    /// `intermediates` are the certificates above this one, without the root.
    pub fn new(certificate: &[u8], intermediates: &[Vec<u8>], key: SigningKey) -> Result<Self, IssueError> {
        let (rest, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| IssueError::BadCaCertificate("not X.509 in DER"))?;
        if !rest.is_empty() {
            return Err(IssueError::BadCaCertificate("bytes follow the certificate"));
        }
        if !parsed.is_ca() {
            return Err(IssueError::BadCaCertificate("not a CA"));
        }
        if parsed.public_key().raw != key.public_key().spki() {
            return Err(IssueError::KeyMismatch);
        }
        let key_id = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        let self_signed = parsed.subject().as_raw() == parsed.issuer().as_raw();
        let chain = std::iter::once(certificate.to_vec()).chain(intermediates.iter().cloned());
        Ok(Self {
            key_id: key_id.unwrap_or_else(|| key.public_key().key_id().to_vec()),
            key,
            subject: parsed.subject().as_raw().to_vec(),
            not_before: Timestamp::from_secs(parsed.validity().not_before.timestamp()),
            not_after: Timestamp::from_secs(parsed.validity().not_after.timestamp()),
            chain: if self_signed { Vec::new() } else { chain.collect() },
            chain_len: 1 + intermediates.len(),
        })
    }

    /// From the replicated state and the opened key.
    pub fn from_authority(authority: &Authority, key: SigningKey) -> Result<Self, IssueError> {
        Self::new(&authority.certificate, &authority.upstream_chain, key)
    }

    pub fn key_type(&self) -> KeyType {
        self.key.key_type()
    }

    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Certifies `request.public_key`. The validity begins [`BACKDATE`] before `now` and ends after the wanted time,
    /// but not after this CA's.
    pub fn issue_svid(&self, now: Timestamp, request: SvidRequest) -> Result<X509Svid, IssueError> {
        let not_after = self.cap(now, request.ttl)?;
        let leaf = self.sign(&request.template, &request.public_key, now, not_after)?;
        let Template { serial, spiffe_id, .. } = request.template;
        let chain = std::iter::once(leaf).chain(self.chain.iter().cloned()).collect();
        Ok(X509Svid { spiffe_id, chain, serial, not_after })
    }

    /// Certifies the CA of a nested server. Returns it and the chain to send: the new CA and what stands above it,
    /// without the root.
    pub fn issue_downstream_ca(
        &self,
        now: Timestamp,
        public_key: &PublicKey,
        request: CaRequest<'_>,
    ) -> Result<(CaCertificate, Vec<Vec<u8>>), IssueError> {
        let CaRequest { trust_domain, subject, serial, ttl } = request;
        let template = Template::downstream_ca(trust_domain, subject, self.chain_len, serial);
        let not_after = self.cap(now, ttl)?;
        let der = self.sign(&template, public_key, now, not_after)?;
        let chain = std::iter::once(der.clone()).chain(self.chain.iter().cloned()).collect();
        Ok((CaCertificate { der, serial, not_after, authority_id: public_key.key_id_hex() }, chain))
    }

    /// Certifies the CA of a server as the authority above it: the subject is the one that `csr` asks for, whose
    /// signature the caller has verified.
    pub fn issue_server_ca(
        &self,
        now: Timestamp,
        trust_domain: &TrustDomain,
        csr: &Csr,
        serial: Serial,
        ttl: Duration,
    ) -> Result<CaCertificate, IssueError> {
        let template = Template {
            profile: Profile::Ca,
            serial,
            subject: csr.subject.clone().unwrap_or_default(),
            spiffe_id: trust_domain.id(),
            dns_names: Vec::new(),
        };
        let not_after = self.cap(now, ttl)?;
        let der = self.sign(&template, &csr.public_key, now, not_after)?;
        Ok(CaCertificate { der, serial, not_after, authority_id: csr.public_key.key_id_hex() })
    }

    fn cap(&self, now: Timestamp, ttl: Duration) -> Result<Timestamp, IssueError> {
        if now.saturating_add(CLOCKS_DIFFER_MAX) < self.not_before {
            return Err(IssueError::AuthorityNotYetValid { not_before: self.not_before });
        }
        let not_after = Timestamp::from_secs(now.saturating_add(ttl).min(self.not_after).as_secs());
        if now < self.not_after { Ok(not_after) } else { Err(IssueError::AuthorityExpired) }
    }

    fn sign(
        &self,
        template: &Template,
        public_key: &PublicKey,
        now: Timestamp,
        not_after: Timestamp,
    ) -> Result<Vec<u8>, IssueError> {
        sign_certificate(&self.key, template, public_key, now, not_after, &self.subject, Some(&self.key_id))
    }
}

/// Makes a root: a CA certificate signed with its own key.
pub fn self_signed_ca(now: Timestamp, key: &SigningKey, request: CaRequest<'_>) -> Result<CaCertificate, IssueError> {
    let CaRequest { trust_domain, subject, serial, ttl } = request;
    let template = Template::server_ca(trust_domain, subject, serial);
    let not_after = Timestamp::from_secs(now.saturating_add(ttl).as_secs());
    let issuer = template.subject.to_der();
    let der = sign_certificate(key, &template, key.public_key(), now, not_after, &issuer, None)?;
    Ok(CaCertificate { der, serial, not_after, authority_id: key.public_key().key_id_hex() })
}

fn sign_certificate(
    key: &SigningKey,
    template: &Template,
    public_key: &PublicKey,
    now: Timestamp,
    not_after: Timestamp,
    issuer: &[u8],
    issuer_key_id: Option<&[u8]>,
) -> Result<Vec<u8>, IssueError> {
    if let Some(name) = template.dns_names.iter().find(|name| !name.is_ascii()) {
        return Err(IssueError::DnsName(name.clone()));
    }
    let not_before = date_time(now.saturating_sub(BACKDATE)).ok_or(IssueError::ValidityOutOfRange)?;
    let not_after = date_time(not_after).ok_or(IssueError::ValidityOutOfRange)?;
    let to_be_signed = construct_der(|writer| {
        writer.write_sequence(|fields| {
            fields.next().write_tagged(Tag::context(0), |version| version.write_u8(X509_V3));
            fields.next().write_bigint_bytes(&template.serial.to_be_bytes(), true);
            write_signature_algorithm(fields.next(), key.key_type());
            fields.next().write_der(issuer);
            fields.next().write_sequence(|validity| {
                write_time(validity.next(), not_before);
                write_time(validity.next(), not_after);
            });
            fields.next().write_der(&template.subject.to_der());
            fields.next().write_der(public_key.spki());
            fields.next().write_tagged(Tag::context(3), |writer| {
                writer.write_sequence(|extensions| {
                    write_extensions(extensions, template, &public_key.key_id(), issuer_key_id);
                });
            });
        });
    });
    Ok(signed(&to_be_signed, key.key_type(), &key.sign_x509(&to_be_signed)?))
}

/// In Go's order.
fn write_extensions(
    extensions: &mut DERWriterSeq<'_>,
    template: &Template,
    key_id: &[u8],
    issuer_key_id: Option<&[u8]>,
) {
    let profile = template.profile;
    write_extension(extensions, OID_KEY_USAGE, true, profile.key_usage());
    if let Some(usage) = profile.extended_key_usage() {
        write_extension(extensions, OID_EXTENDED_KEY_USAGE, false, usage);
    }
    write_extension(extensions, OID_BASIC_CONSTRAINTS, true, profile.basic_constraints());
    let key_id = construct_der(|writer| writer.write_bytes(key_id));
    write_extension(extensions, OID_SUBJECT_KEY_IDENTIFIER, false, &key_id);
    if let Some(issuer_key_id) = issuer_key_id {
        write_extension(extensions, OID_AUTHORITY_KEY_IDENTIFIER, false, &authority_key_identifier(issuer_key_id));
    }
    // The subject is never empty, so the names need not be critical (RFC 5280, section 4.2.1.6).
    let names = subject_alt_names(&template.dns_names, template.spiffe_id.as_str());
    write_extension(extensions, OID_SUBJECT_ALT_NAME, false, &names);
}

/// How far notBefore lies in the past, for verifiers whose clocks are slow (SPIRE behaviour).
pub const BACKDATE: Duration = Duration::from_secs(10);
/// An authority that begins later than this from now was made by a clock that was wrong, or this one is. Whoever is
/// above may have a clock of his own.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(60);
/// Versions count from zero.
const X509_V3: u8 = 2;
