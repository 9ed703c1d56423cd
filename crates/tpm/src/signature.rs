//! TPMT_SIGNATURE (part 2, section 11.3.4).

use crate::algorithm::{ECDSA, RSAPSS, RSASSA};
use crate::public_area::{COORDINATE_BYTES_MAX, MODULUS_BYTES_MAX};
use crate::wire::{Reader, WireError};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// PKCS #1: version 1.5, or PSS.
    Rsa { is_pss: bool, hash: u16, signature: Vec<u8> },
    /// Two integers, big-endian.
    Ecdsa { hash: u16, r: Vec<u8>, s: Vec<u8> },
}

impl Signature {
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let algorithm = reader.u16()?;
        let signature = match algorithm {
            RSASSA | RSAPSS => Self::Rsa {
                is_pss: algorithm == RSAPSS,
                hash: reader.u16()?,
                signature: reader.sized(MODULUS_BYTES_MAX)?.to_vec(),
            },
            ECDSA => Self::Ecdsa {
                hash: reader.u16()?,
                r: reader.sized(COORDINATE_BYTES_MAX)?.to_vec(),
                s: reader.sized(COORDINATE_BYTES_MAX)?.to_vec(),
            },
            _ => return Err(WireError::Unsupported { what: "the signature algorithm", value: algorithm.into() }),
        };
        reader.end()?;
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hash;
    use crate::wire::Writer;

    #[test]
    fn signatures_are_read_whole() {
        let hash = Hash::Sha256.id();
        let rsa = Writer::default().u16(RSASSA).u16(hash).sized(&[7; 256]).into_vec();
        let read = Signature::decode(&rsa);
        assert_eq!(read, Ok(Signature::Rsa { is_pss: false, hash, signature: vec![7; 256] }));
        let ecdsa = Writer::default().u16(ECDSA).u16(hash).sized(&[1]).sized(&[2]).into_vec();
        assert_eq!(Signature::decode(&ecdsa), Ok(Signature::Ecdsa { hash, r: vec![1], s: vec![2] }));
        for bytes in [&rsa, &ecdsa] {
            for length in 0..bytes.len() {
                assert_eq!(Signature::decode(&bytes[..length]), Err(WireError::Short), "{length} bytes");
            }
        }
        let hmac = Signature::decode(&[0, 5, 0, 0x0b]);
        assert_eq!(hmac, Err(WireError::Unsupported { what: "the signature algorithm", value: 5 }));
    }
}
