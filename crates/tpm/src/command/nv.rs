//! What a TPM remembers, read with the index's own empty password.

use crate::command::{Authorization, Command, Request};
use crate::wire::{Reader, WireError, Writer};

/// TPM2_NV_ReadPublic: how many bytes an index has.
pub struct NvDataBytes {
    pub index: u32,
}

/// TPM2_GetCapability of TPM_PT_NV_BUFFER_MAX: how many bytes can be read at once.
pub struct NvBufferBytes;

/// TPM2_NV_Read.
pub struct NvRead {
    pub index: u32,
    pub bytes: u16,
    pub offset: u16,
}

impl Request for NvDataBytes {
    type Reply = u16;

    fn command(&self) -> Command<'_> {
        let parameters = Writer::default();
        Command { code: 0x169, handles: vec![self.index], authorizations: Vec::new(), parameters }
    }

    fn reply(_: u32, parameters: &mut Reader<'_>) -> Result<u16, WireError> {
        // TPMS_NV_PUBLIC: index, hash, attributes, policy, size.
        let mut public = Reader::new(parameters.sized(PUBLIC_BYTES_MAX)?);
        let (_index, _hash, _attributes) = (public.u32()?, public.u16()?, public.u32()?);
        public.sized(PUBLIC_BYTES_MAX)?;
        let bytes = public.u16()?;
        public.end()?;
        parameters.sized(PUBLIC_BYTES_MAX)?;
        Ok(bytes)
    }
}

impl Request for NvBufferBytes {
    type Reply = u32;

    fn command(&self) -> Command<'_> {
        let parameters = Writer::default().u32(TPM_PROPERTIES).u32(NV_BUFFER_MAX).u32(1);
        Command { code: 0x17a, handles: Vec::new(), authorizations: Vec::new(), parameters }
    }

    fn reply(_: u32, parameters: &mut Reader<'_>) -> Result<u32, WireError> {
        let _more = parameters.u8()?;
        let (capability, count) = (parameters.u32()?, parameters.u32()?);
        if (capability, count) != (TPM_PROPERTIES, 1) {
            return Err(WireError::Unsupported { what: "a capability of kind", value: capability });
        }
        let property = parameters.u32()?;
        if property != NV_BUFFER_MAX {
            return Err(WireError::Unsupported { what: "the property", value: property });
        }
        parameters.u32()
    }
}

impl Request for NvRead {
    type Reply = Vec<u8>;

    fn command(&self) -> Command<'_> {
        Command {
            code: 0x14e,
            handles: vec![self.index, self.index],
            authorizations: vec![Authorization::Password(&[])],
            parameters: Writer::default().u16(self.bytes).u16(self.offset),
        }
    }

    fn reply(_: u32, parameters: &mut Reader<'_>) -> Result<Vec<u8>, WireError> {
        Ok(parameters.sized(usize::from(u16::MAX))?.to_vec())
    }
}

/// TPM_CAP_TPM_PROPERTIES.
const TPM_PROPERTIES: u32 = 6;
const NV_BUFFER_MAX: u32 = 0x12c;
const PUBLIC_BYTES_MAX: usize = 128;
