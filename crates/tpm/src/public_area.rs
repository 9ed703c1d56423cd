//! TPMT_PUBLIC (part 2, section 12.2.4): the public half of a key, with what the TPM allows it.

use crate::algorithm::{AES, ECC, ECDSA, NULL, RSA, RSAPSS, RSASSA};
use crate::wire::{Reader, WireError, Writer};
use crate::{Attributes, Curve, Hash};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicArea {
    /// TPM_ALG_ID of the hash that names the key.
    pub name_algorithm: u16,
    pub attributes: Attributes,
    pub policy: Vec<u8>,
    pub parameters: Parameters,
}

/// The parameters of a type of keys, and the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameters {
    Rsa {
        symmetric: Option<Symmetric>,
        scheme: Option<Scheme>,
        key_bits: u16,
        /// 0 is 65537.
        exponent: u32,
        modulus: Vec<u8>,
    },
    Ecc {
        symmetric: Option<Symmetric>,
        scheme: Option<Scheme>,
        curve: u16,
        /// A key derivation and its hash.
        kdf: Option<(u16, u16)>,
        x: Vec<u8>,
        y: Vec<u8>,
    },
}

/// How a parent protects what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symmetric {
    pub algorithm: u16,
    pub key_bits: u16,
    pub mode: u16,
}

/// How a key signs, and over which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    pub algorithm: u16,
    pub hash: u16,
}

/// A key without what is special to TPMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// Big-endian, without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// Uncompressed (SEC 1, section 2.3.3).
    Ecc { curve: Curve, point: Vec<u8> },
}

/// What a TPM calls a key (part 1, section 16): the hash of its public area, the hash's number before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub hash: Hash,
    bytes: Vec<u8>,
}

impl PublicArea {
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u16()?;
        let name_algorithm = reader.u16()?;
        let attributes = Attributes(reader.u32()?);
        let policy = reader.sized(DIGEST_BYTES_MAX)?.to_vec();
        let parameters = match kind {
            RSA => Parameters::read_rsa(&mut reader)?,
            ECC => Parameters::read_ecc(&mut reader)?,
            _ => return Err(WireError::Unsupported { what: "a key of type", value: kind.into() }),
        };
        reader.end()?;
        Ok(Self { name_algorithm, attributes, policy, parameters })
    }

    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.parameters {
            Parameters::Rsa { .. } => RSA,
            Parameters::Ecc { .. } => ECC,
        };
        let head = Writer::default().u16(kind).u16(self.name_algorithm).u32(self.attributes.0).sized(&self.policy);
        self.parameters.write(head).into_vec()
    }

    /// Everything above is in it: whoever vouches for a name vouches for the attributes too.
    pub fn name(&self) -> Result<Name, WireError> {
        let unknown = WireError::Unsupported { what: "the hash of a name", value: self.name_algorithm.into() };
        let hash = Hash::of(self.name_algorithm).ok_or(unknown)?;
        let digest = hash.digest(&self.encode());
        Ok(Name { hash, bytes: [hash.id().to_be_bytes().as_slice(), &digest].concat() })
    }

    pub fn scheme(&self) -> Option<Scheme> {
        match self.parameters {
            Parameters::Rsa { scheme, .. } | Parameters::Ecc { scheme, .. } => scheme,
        }
    }

    pub fn symmetric(&self) -> Option<Symmetric> {
        match self.parameters {
            Parameters::Rsa { symmetric, .. } | Parameters::Ecc { symmetric, .. } => symmetric,
        }
    }

    pub fn key(&self) -> Result<PublicKey, WireError> {
        match &self.parameters {
            Parameters::Rsa { exponent, modulus, .. } => {
                let exponent = if *exponent == 0 { RSA_EXPONENT } else { *exponent };
                Ok(PublicKey::Rsa { n: minimal(modulus).to_vec(), e: minimal(&exponent.to_be_bytes()).to_vec() })
            }
            Parameters::Ecc { curve, x, y, .. } => {
                let unknown = WireError::Unsupported { what: "curve", value: (*curve).into() };
                let curve = Curve::of(*curve).ok_or(unknown)?;
                let mut point = vec![0x04];
                for coordinate in [x, y] {
                    let coordinate = minimal(coordinate);
                    let (bytes, max) = (coordinate.len(), curve.coordinate_bytes());
                    let zeros = max.checked_sub(bytes).ok_or(WireError::TooLong { bytes, max })?;
                    point.resize(point.len() + zeros, 0);
                    point.extend_from_slice(coordinate);
                }
                Ok(PublicKey::Ecc { curve, point })
            }
        }
    }
}

impl Parameters {
    fn read_rsa(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self::Rsa {
            symmetric: Symmetric::read(reader)?,
            scheme: Scheme::read(reader)?,
            key_bits: reader.u16()?,
            exponent: reader.u32()?,
            modulus: reader.sized(MODULUS_BYTES_MAX)?.to_vec(),
        })
    }

    fn read_ecc(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self::Ecc {
            symmetric: Symmetric::read(reader)?,
            scheme: Scheme::read(reader)?,
            curve: reader.u16()?,
            kdf: match reader.u16()? {
                NULL => None,
                kdf => Some((kdf, reader.u16()?)),
            },
            x: reader.sized(COORDINATE_BYTES_MAX)?.to_vec(),
            y: reader.sized(COORDINATE_BYTES_MAX)?.to_vec(),
        })
    }

    fn write(&self, writer: Writer) -> Writer {
        match self {
            Self::Rsa { symmetric, scheme, key_bits, exponent, modulus } => {
                let writer = Scheme::write(*scheme, Symmetric::write(*symmetric, writer));
                writer.u16(*key_bits).u32(*exponent).sized(modulus)
            }
            Self::Ecc { symmetric, scheme, curve, kdf, x, y } => {
                let writer = Scheme::write(*scheme, Symmetric::write(*symmetric, writer)).u16(*curve);
                let writer = match kdf {
                    None => writer.u16(NULL),
                    Some((kdf, hash)) => writer.u16(*kdf).u16(*hash),
                };
                writer.sized(x).sized(y)
            }
        }
    }
}

impl Symmetric {
    /// TPMT_SYM_DEF_OBJECT.
    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        match reader.u16()? {
            NULL => Ok(None),
            algorithm @ AES => Ok(Some(Self { algorithm, key_bits: reader.u16()?, mode: reader.u16()? })),
            other => Err(WireError::Unsupported { what: "the cipher", value: other.into() }),
        }
    }

    fn write(symmetric: Option<Self>, writer: Writer) -> Writer {
        match symmetric {
            None => writer.u16(NULL),
            Some(Self { algorithm, key_bits, mode }) => writer.u16(algorithm).u16(key_bits).u16(mode),
        }
    }
}

impl Scheme {
    /// TPMT_RSA_SCHEME and TPMT_ECC_SCHEME, of those that sign without a count.
    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        match reader.u16()? {
            NULL => Ok(None),
            algorithm @ (RSASSA | RSAPSS | ECDSA) => Ok(Some(Self { algorithm, hash: reader.u16()? })),
            other => Err(WireError::Unsupported { what: "the signature scheme", value: other.into() }),
        }
    }

    pub(crate) fn write(scheme: Option<Self>, writer: Writer) -> Writer {
        match scheme {
            None => writer.u16(NULL),
            Some(Self { algorithm, hash }) => writer.u16(algorithm).u16(hash),
        }
    }
}

impl Name {
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A file of a key as SPIRE wants it, without its length, or with it, as tpm2-tools write it.
pub fn unsized_buffer(file: &[u8]) -> &[u8] {
    match file.split_first_chunk() {
        Some((length, rest)) if usize::from(u16::from_be_bytes(*length)) == rest.len() => rest,
        _ => file,
    }
}

/// A big-endian integer without leading zeros.
fn minimal(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// RSA 4096, the most that TPMs have.
pub(crate) const MODULUS_BYTES_MAX: usize = 512;
/// SHA-512.
pub(crate) const DIGEST_BYTES_MAX: usize = 64;
/// P-521; TPMs pad to it.
pub(crate) const COORDINATE_BYTES_MAX: usize = 66;
const RSA_EXPONENT: u32 = 65537;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{attestation_key, endorsement_key, storage_root_key_ecc, storage_root_key_rsa};

    fn areas() -> [PublicArea; 4] {
        [endorsement_key(), storage_root_key_rsa(), storage_root_key_ecc(), attestation_key()]
    }

    #[test]
    fn an_area_is_read_as_it_was_written() {
        for area in areas() {
            let bytes = area.encode();
            assert_eq!(PublicArea::decode(&bytes).as_ref(), Ok(&area));
            for length in 0..bytes.len() {
                assert_eq!(PublicArea::decode(&bytes[..length]), Err(WireError::Short), "{length} bytes");
            }
            assert_eq!(PublicArea::decode(&[bytes.as_slice(), &[0]].concat()), Err(WireError::Trailing(1)));
        }
    }

    #[test]
    fn a_name_covers_everything() {
        let area = attestation_key();
        let name = area.name().unwrap();
        assert_eq!(name.as_bytes()[..2], [0, 0x0b]);
        assert_eq!(name.as_bytes()[2..], Hash::Sha256.digest(&area.encode()));
        let other = PublicArea { attributes: Attributes(area.attributes.0 & !Attributes::FIXED_TPM.0), ..area.clone() };
        assert_ne!(other.name(), Ok(name));
        // SHA-1 names nothing here.
        let sha1 = PublicArea { name_algorithm: 4, ..area };
        assert_eq!(sha1.name(), Err(WireError::Unsupported { what: "the hash of a name", value: 4 }));
    }

    #[test]
    fn keys_have_one_form() {
        let Parameters::Rsa { symmetric, scheme, key_bits, .. } = attestation_key().parameters else { panic!("RSA") };
        let rsa = Parameters::Rsa { symmetric, scheme, key_bits, exponent: 0, modulus: vec![0, 0, 5, 6] };
        let area = PublicArea { parameters: rsa, ..attestation_key() };
        assert_eq!(area.key(), Ok(PublicKey::Rsa { n: vec![5, 6], e: vec![1, 0, 1] }));
        let ecc = |curve, x: &[u8]| Parameters::Ecc {
            symmetric: None,
            scheme: None,
            curve,
            kdf: None,
            x: x.to_vec(),
            y: vec![7; 32],
        };
        let key = |curve, x: &[u8]| PublicArea { parameters: ecc(curve, x), ..attestation_key() }.key();
        let Ok(PublicKey::Ecc { point, .. }) = key(3, &[9]) else { panic!("a point") };
        assert_eq!((point.len(), point[0], point[32], point[33]), (65, 4, 9, 7));
        assert_eq!(key(3, &[9; 33]), Err(WireError::TooLong { bytes: 33, max: 32 }));
        assert_eq!(key(0x10, &[9]), Err(WireError::Unsupported { what: "curve", value: 0x10 }));
    }

    #[test]
    fn files_may_have_their_length_before_them() {
        let area = attestation_key().encode();
        let with_length = Writer::default().sized(&area).into_vec();
        assert_eq!((unsized_buffer(&area), unsized_buffer(&with_length)), (area.as_slice(), area.as_slice()));
        assert_eq!(unsized_buffer(&[7]), [7]);
    }
}
