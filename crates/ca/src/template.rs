//! The shape of every certificate that is issued, in one place (SPIRE's X.509 profile).
//!
//! | | server CA, downstream CA | SVID |
//! |---|---|---|
//! | URI SAN | the trust domain's ID | one SPIFFE ID |
//! | subject | `ca_subject` and the serial; downstream also `OU=DOWNSTREAM-n` | `C=US, O=SPIRE`; workloads also a CN |
//! | key usage | keyCertSign, cRLSign | digitalSignature, keyEncipherment, keyAgreement |
//! | extended key usage | none | serverAuth, clientAuth |
//! | basic constraints | CA, no path length | not a CA |
//! | DNS SAN | none | as the entry orders them |
//!
//! Credential composers change the names in the subjects of workloads, and nothing else.

use std::sync::Arc;

use steeple_core::plugin::{ComposeError, CredentialComposer, SubjectNames, WorkloadX509};
use steeple_core::{SpiffeId, TrustDomain};

use crate::{DistinguishedName, Serial};

/// Whether a certificate may sign others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Ca,
    Svid,
}

/// What a certificate says, apart from keys and dates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub profile: Profile,
    pub serial: Serial,
    pub subject: DistinguishedName,
    pub spiffe_id: SpiffeId,
    pub dns_names: Vec<String>,
}

impl Template {
    /// The CA of a server, self-signed or signed by an upstream authority.
    pub fn server_ca(trust_domain: &TrustDomain, ca_subject: &DistinguishedName, serial: Serial) -> Self {
        let subject = DistinguishedName { serial_number: serial.to_string(), ..ca_subject.clone() };
        Self { profile: Profile::Ca, serial, subject, spiffe_id: trust_domain.id(), dns_names: Vec::new() }
    }

    /// The CA of a nested server. `chain_len` counts the issuing CA and the intermediates above it, without the root
    /// of an upstream authority.
    pub fn downstream_ca(
        trust_domain: &TrustDomain,
        ca_subject: &DistinguishedName,
        chain_len: usize,
        serial: Serial,
    ) -> Self {
        let mut template = Self::server_ca(trust_domain, ca_subject, serial);
        template.subject.organizational_unit = vec![format!("DOWNSTREAM-{chain_len}")];
        template
    }

    /// An SVID of an agent or a server.
    pub fn svid(spiffe_id: SpiffeId, serial: Serial) -> Self {
        let subject = DistinguishedName::default_svid();
        Self { profile: Profile::Svid, serial, subject, spiffe_id, dns_names: Vec::new() }
    }

    /// An SVID of a workload. A subject that was asked for (by MintX509SVID) replaces the default one; the first DNS
    /// name becomes the common name either way.
    pub fn workload_svid(
        spiffe_id: SpiffeId,
        dns_names: Vec<String>,
        subject: Option<DistinguishedName>,
        serial: Serial,
    ) -> Self {
        let mut subject = subject.unwrap_or_else(DistinguishedName::default_svid);
        if let Some(first) = dns_names.first() {
            subject.common_name = first.clone();
        }
        Self { profile: Profile::Svid, serial, subject, spiffe_id, dns_names }
    }

    /// A workload's, after each composer has had its turn. `public_key` is PKIX DER.
    pub fn composed(self, public_key: &[u8], composers: &[Arc<dyn CredentialComposer>]) -> Result<Self, ComposeError> {
        let DistinguishedName { common_name, unique_identifier, .. } = self.subject;
        let workload = WorkloadX509 { spiffe_id: &self.spiffe_id, public_key, dns_names: &self.dns_names };
        let mut names = SubjectNames { common_name, unique_identifier };
        for composer in composers {
            names = composer.workload_x509_names(&workload, names)?;
        }
        let SubjectNames { common_name, unique_identifier } = names;
        let subject = DistinguishedName { common_name, unique_identifier, ..self.subject };
        Ok(Self { subject, ..self })
    }
}

impl Profile {
    /// DER of the KeyUsage bits.
    pub(crate) fn key_usage(self) -> &'static [u8] {
        match self {
            Self::Ca => b"\x03\x02\x01\x06",
            Self::Svid => b"\x03\x02\x03\xa8",
        }
    }

    /// DER of the ExtKeyUsageSyntax: serverAuth, clientAuth.
    pub(crate) fn extended_key_usage(self) -> Option<&'static [u8]> {
        match self {
            Self::Ca => None,
            Self::Svid => {
                Some(b"\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02")
            }
        }
    }

    /// DER of the BasicConstraints.
    pub(crate) fn basic_constraints(self) -> &'static [u8] {
        match self {
            Self::Ca => b"\x30\x03\x01\x01\xff",
            Self::Svid => b"\x30\x00",
        }
    }
}
