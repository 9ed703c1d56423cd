//! TPMS_ATTEST (part 2, section 10.12.8): a statement of the TPM itself.

use crate::public_area::DIGEST_BYTES_MAX;
use crate::wire::{Reader, WireError};

/// What TPM2_Certify states: a key of this name is loaded, and the TPM has it whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    pub name: Vec<u8>,
}

impl Certified {
    /// `None` for other statements of a TPM.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.u32()?;
        if magic != GENERATED {
            // A restricted key signs these four bytes only when they come from the TPM itself.
            return Err(WireError::Unsupported { what: "the magic value", value: magic });
        }
        let kind = reader.u16()?;
        let _signer = reader.sized(NAME_BYTES_MAX)?;
        let _qualifying_data = reader.sized(DATA_BYTES_MAX)?;
        let (_clock, _resets, _restarts, _safe) = (reader.u64()?, reader.u32()?, reader.u32()?, reader.u8()?);
        let _firmware = reader.u64()?;
        if kind != CERTIFY {
            return Ok(None);
        }
        let name = reader.sized(NAME_BYTES_MAX)?.to_vec();
        let _qualified_name = reader.sized(NAME_BYTES_MAX)?;
        reader.end()?;
        Ok(Some(Self { name }))
    }
}

/// TPM_GENERATED_VALUE: "TCG" behind 0xff.
const GENERATED: u32 = 0xff54_4347;
/// TPM_ST_ATTEST_CERTIFY.
const CERTIFY: u16 = 0x8017;
/// A hash's number and a digest.
const NAME_BYTES_MAX: usize = 2 + DIGEST_BYTES_MAX;
const DATA_BYTES_MAX: usize = NAME_BYTES_MAX;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::Writer;

    pub(crate) fn statement(magic: u32, kind: u16, name: &[u8]) -> Vec<u8> {
        let head = Writer::default().u32(magic).u16(kind).sized(&[1; 34]).sized(&[]);
        head.bytes(&[0; 8 + 4 + 4 + 1 + 8]).sized(name).sized(&[2; 34]).into_vec()
    }

    #[test]
    fn only_a_whole_certification_of_a_tpm_names_a_key() {
        let good = statement(GENERATED, CERTIFY, b"name");
        assert_eq!(Certified::decode(&good), Ok(Some(Certified { name: b"name".to_vec() })));
        for length in 0..good.len() {
            assert_eq!(Certified::decode(&good[..length]), Err(WireError::Short), "{length} bytes");
        }
        assert_eq!(Certified::decode(&[good.as_slice(), &[0]].concat()), Err(WireError::Trailing(1)));
        let quote = statement(GENERATED, 0x8018, b"name");
        assert_eq!(Certified::decode(&quote), Ok(None));
        let forged = Certified::decode(&statement(0xff54_4346, CERTIFY, b"name"));
        assert_eq!(forged, Err(WireError::Unsupported { what: "the magic value", value: 0xff54_4346 }));
    }
}
