//! The few DER structures that certificates and requests share, written as Go's `crypto/x509` writes them.
//!
//! Written with a DER library instead of a certificate library, because rcgen keeps a distinguished name as a map by
//! attribute: of the `DC=corp, DC=example` in the name of a directory service's CA it would write one, and the chain of
//! what that CA issued would break. It also orders extensions differently from SPIRE.

use steeple_core::{KeyType, Timestamp};
use time::{OffsetDateTime, UtcOffset};
use yasna::models::{GeneralizedTime, ObjectIdentifier, UTCTime};
use yasna::{DERWriter, DERWriterSeq, Tag, construct_der};

/// RFC 5280, section 4.2.
pub(crate) fn write_extension(extensions: &mut DERWriterSeq<'_>, oid: &[u64], critical: bool, value: &[u8]) {
    extensions.next().write_sequence(|extension| {
        extension.next().write_oid(&ObjectIdentifier::from_slice(oid));
        if critical {
            extension.next().write_bool(true);
        }
        extension.next().write_bytes(value);
    });
}

/// GeneralNames with DNS names first, then URIs, which is Go's order (RFC 5280, section 4.2.1.6).
pub(crate) fn subject_alt_names(dns_names: &[String], uri: &str) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|names| {
            let dns_names = dns_names.iter().map(|name| (2, name.as_str()));
            for (tag, name) in dns_names.chain([(6, uri)]) {
                // An IA5String under an implicit tag is nothing but its bytes.
                let name = |writer: DERWriter<'_>| writer.write_bytes(name.as_bytes());
                names.next().write_tagged_implicit(Tag::context(tag), name);
            }
        });
    })
}

/// RFC 5280, section 4.2.1.1, with the key id alone.
pub(crate) fn authority_key_identifier(key_id: &[u8]) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|fields| {
            fields.next().write_tagged_implicit(Tag::context(0), |field| field.write_bytes(key_id));
        });
    })
}

/// RFC 5758, section 3.2, for ECDSA; RFC 4055, section 5, for RSA.
pub(crate) fn write_signature_algorithm(writer: DERWriter<'_>, key_type: KeyType) {
    writer.write_sequence(|algorithm| {
        let oid: &[u64] = match key_type {
            KeyType::EcP256 => &[1, 2, 840, 10045, 4, 3, 2],
            KeyType::EcP384 => &[1, 2, 840, 10045, 4, 3, 3],
            KeyType::Rsa2048 | KeyType::Rsa4096 => &[1, 2, 840, 113549, 1, 1, 11],
        };
        algorithm.next().write_oid(&ObjectIdentifier::from_slice(oid));
        if matches!(key_type, KeyType::Rsa2048 | KeyType::Rsa4096) {
            algorithm.next().write_null();
        }
    });
}

/// Whole seconds; `None` outside of the years 1950 to 9999 that a certificate can express.
pub(crate) fn date_time(at: Timestamp) -> Option<OffsetDateTime> {
    let moment = OffsetDateTime::from_unix_timestamp(at.as_secs()).ok()?;
    (1950..=9999).contains(&moment.year()).then_some(moment)
}

/// UTCTime through 2049, GeneralizedTime from 2050 on (RFC 5280, section 4.1.2.5).
pub(crate) fn write_time(writer: DERWriter<'_>, at: OffsetDateTime) {
    let at = at.to_offset(UtcOffset::UTC);
    if at.year() < 2050 {
        writer.write_utctime(&UTCTime::from_datetime(at));
    } else {
        writer.write_generalized_time(&GeneralizedTime::from_datetime(at));
    }
}

/// What both a certificate and a request are: something signed, how, and the signature.
pub(crate) fn signed(content: &[u8], key_type: KeyType, signature: &[u8]) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|parts| {
            parts.next().write_der(content);
            write_signature_algorithm(parts.next(), key_type);
            parts.next().write_bitvec_bytes(signature, signature.len() * 8);
        });
    })
}

pub(crate) const OID_SUBJECT_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 14];
pub(crate) const OID_KEY_USAGE: &[u64] = &[2, 5, 29, 15];
pub(crate) const OID_SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
pub(crate) const OID_BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
pub(crate) const OID_AUTHORITY_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 35];
pub(crate) const OID_EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
pub(crate) const OID_EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113549, 1, 9, 14];
