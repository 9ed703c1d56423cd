//! Distinguished names as Go's `crypto/x509/pkix` knows them: a fixed set of attributes in a fixed order.

use std::fmt;

use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, construct_der};

/// A subject. Attributes that hold several values become one multi-valued RDN, as Go writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistinguishedName {
    pub country: Vec<String>,
    pub organization: Vec<String>,
    pub organizational_unit: Vec<String>,
    pub locality: Vec<String>,
    pub province: Vec<String>,
    pub street_address: Vec<String>,
    pub postal_code: Vec<String>,
    /// Empty when absent.
    pub common_name: String,
    /// The `serialNumber` attribute, not the certificate's serial; empty when absent.
    pub serial_number: String,
    /// The `x500UniqueIdentifier` attribute as SPIRE's `uniqueid` writes it, a string although X.520 has bits there;
    /// empty when absent.
    pub unique_identifier: String,
}

impl DistinguishedName {
    /// `C=US, O=SPIFFE`: a CA's subject unless `ca_subject` is set (SPIRE behaviour).
    pub fn default_ca() -> Self {
        Self { country: vec!["US".into()], organization: vec!["SPIFFE".into()], ..Self::default() }
    }

    /// `C=US, O=SPIRE`: the subject of SVIDs (SPIRE behaviour).
    pub fn default_svid() -> Self {
        Self { country: vec!["US".into()], organization: vec!["SPIRE".into()], ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Keeps the attributes that Go knows by name; it drops the others, a unique identifier too, when it writes a
    /// parsed name again.
    pub(crate) fn from_x509(name: &X509Name<'_>) -> Self {
        Self::read(name).0
    }

    /// The name that a request asks for; `None` where it says nothing. One of attributes without a name in Go is asked
    /// for and empty (SPIRE behaviour).
    pub(crate) fn asked(name: &X509Name<'_>) -> Option<Self> {
        let (read, foreign) = Self::read(name);
        (foreign || !read.is_empty()).then_some(read)
    }

    /// Also whether there are attributes without a name in Go.
    fn read(name: &X509Name<'_>) -> (Self, bool) {
        let (mut read, mut foreign) = (Self::default(), false);
        for attribute in name.iter_attributes() {
            let Some(value) = text_of(attribute) else { continue };
            let Some(arcs) = attribute.attr_type().iter() else { continue };
            match arcs.collect::<Vec<_>>().as_slice() {
                [2, 5, 4, 3] => read.common_name = value,
                [2, 5, 4, 5] => read.serial_number = value,
                [2, 5, 4, 6] => read.country.push(value),
                [2, 5, 4, 7] => read.locality.push(value),
                [2, 5, 4, 8] => read.province.push(value),
                [2, 5, 4, 9] => read.street_address.push(value),
                [2, 5, 4, 10] => read.organization.push(value),
                [2, 5, 4, 11] => read.organizational_unit.push(value),
                [2, 5, 4, 17] => read.postal_code.push(value),
                _ => foreign = true,
            }
        }
        (read, foreign)
    }

    /// Reads DER of a `Name`; `None` when it is anything else.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        match X509Name::from_der(der) {
            Ok(([], name)) => Some(Self::from_x509(&name)),
            _ => None,
        }
    }

    /// DER of the `Name`, attributes in the order of Go 1.26 (`pkix.Name.ToRDNSequence`).
    pub fn to_der(&self) -> Vec<u8> {
        let single = |value: &'_ String| if value.is_empty() { vec![] } else { vec![value.clone()] };
        let (common_name, serial_number) = (single(&self.common_name), single(&self.serial_number));
        let unique_identifier = single(&self.unique_identifier);
        let attributes: [(u64, &[String]); 10] = [
            (6, &self.country),
            (8, &self.province),
            (7, &self.locality),
            (9, &self.street_address),
            (17, &self.postal_code),
            (10, &self.organization),
            (11, &self.organizational_unit),
            (3, &common_name),
            (5, &serial_number),
            (45, &unique_identifier),
        ];
        construct_der(|writer| {
            writer.write_sequence(|names| {
                for (arc, values) in attributes.into_iter().filter(|(_, values)| !values.is_empty()) {
                    names.next().write_set_of(|set| {
                        for value in values {
                            set.next().write_sequence(|pair| {
                                pair.next().write_oid(&ObjectIdentifier::from_slice(&[2, 5, 4, arc]));
                                write_directory_string(pair.next(), value);
                            });
                        }
                    });
                }
            });
        })
    }
}

/// What an attribute says, in the encodings that Go reads.
fn text_of(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    match value.tag() {
        Tag::BmpString => bmp_text(value.data),
        // Taken for ISO 8859-1.
        Tag::T61String => Some(value.data.iter().map(|byte| char::from(*byte)).collect()),
        _ => attribute.as_str().ok().map(str::to_owned),
    }
}

/// UCS-2, big endian, perhaps with a terminator.
fn bmp_text(bytes: &[u8]) -> Option<String> {
    let (pairs, odd) = bytes.strip_suffix(&[0, 0]).unwrap_or(bytes).as_chunks::<2>();
    let chars = pairs.iter().map(|pair| char::from_u32(u16::from_be_bytes(*pair).into()));
    if odd.is_empty() { chars.collect() } else { None }
}

/// As Go prints a name (RFC 2253): last attribute first, for instance `O=SPIRE,C=US`, and in DER what it has no name
/// for.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let single = |value: &'_ String| if value.is_empty() { vec![] } else { vec![value.clone()] };
        let mut separator = "";
        if !self.unique_identifier.is_empty() {
            let der = construct_der(|writer| write_directory_string(writer, &self.unique_identifier));
            write!(f, "2.5.4.45=#{}", hex::encode(der))?;
            separator = ",";
        }
        let (common_name, serial_number) = (single(&self.common_name), single(&self.serial_number));
        let attributes: [(&str, &[String]); 9] = [
            ("SERIALNUMBER", &serial_number),
            ("CN", &common_name),
            ("OU", &self.organizational_unit),
            ("O", &self.organization),
            ("POSTALCODE", &self.postal_code),
            ("STREET", &self.street_address),
            ("L", &self.locality),
            ("ST", &self.province),
            ("C", &self.country),
        ];
        for (name, values) in attributes.into_iter().filter(|(_, values)| !values.is_empty()) {
            f.write_str(separator)?;
            let values: Vec<String> = values.iter().map(|value| format!("{name}={}", escaped(value))).collect();
            f.write_str(&values.join("+"))?;
            separator = ",";
        }
        Ok(())
    }
}

/// RFC 2253, section 2.4.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        let at_edge = character == ' ' && (index == 0 || index == last) || character == '#' && index == 0;
        if at_edge || matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

/// Go writes a PrintableString where the characters allow one, else a UTF8String.
fn write_directory_string(writer: DERWriter<'_>, value: &str) {
    let printable = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
    if value.bytes().all(printable) {
        writer.write_printable_string(value);
    } else {
        writer.write_utf8_string(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_does() {
        assert_eq!(DistinguishedName::default_svid().to_string(), "O=SPIRE,C=US");
        let name = DistinguishedName { common_name: "a, b".into(), ..DistinguishedName::default_ca() };
        assert_eq!(name.to_string(), "CN=a\\, b,O=SPIFFE,C=US");
        assert_eq!(DistinguishedName::from_der(&name.to_der()), Some(name));
        assert_eq!(DistinguishedName::from_der(b"nonsense"), None);
        let named = DistinguishedName { unique_identifier: "2a".into(), ..DistinguishedName::default_svid() };
        assert_eq!(named.to_string(), "2.5.4.45=#13023261,O=SPIRE,C=US");
        assert_eq!(DistinguishedName::from_der(&named.to_der()), Some(DistinguishedName::default_svid()));
    }

    #[test]
    fn a_name_reads_back_as_written() {
        let name = DistinguishedName {
            organizational_unit: vec!["b".into(), "a".into()],
            common_name: "Zoë".into(),
            serial_number: "12".into(),
            ..DistinguishedName::default_ca()
        };
        let der = name.to_der();
        let (_, parsed) = X509Name::from_der(&der).unwrap();
        assert_eq!(parsed.to_string(), "C=US, O=SPIFFE, OU=a + OU=b, CN=Zoë, serialNumber=12");
        let sorted = DistinguishedName { organizational_unit: vec!["a".into(), "b".into()], ..name };
        assert_eq!(DistinguishedName::from_x509(&parsed), sorted);
    }
}
