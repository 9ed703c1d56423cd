//! Keys: made, loaded, used, let go.

use crate::command::{Authorization, Command, Request};
use crate::public_area::DIGEST_BYTES_MAX;
use crate::wire::{Reader, WireError, Writer};
use crate::{Hash, PublicArea};

/// TPM2_CreatePrimary: a key that is made of the hierarchy's seed and the template, the same each time.
pub struct CreatePrimary<'a> {
    pub hierarchy: u32,
    pub hierarchy_password: &'a [u8],
    pub password: &'a [u8],
    pub template: &'a PublicArea,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    pub handle: u32,
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
}

/// TPM2_Create: a new key under a parent, not loaded yet.
pub struct Create<'a> {
    pub parent: u32,
    pub parent_password: &'a [u8],
    pub password: &'a [u8],
    pub template: &'a PublicArea,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Encrypted for the parent.
    pub private: Vec<u8>,
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
}

/// TPM2_Load; the handle is the reply.
pub struct Load<'a> {
    pub parent: u32,
    pub parent_password: &'a [u8],
    pub private: &'a [u8],
    pub public: &'a [u8],
}

/// TPM2_Hash. Keys that are restricted sign only digests with such a ticket.
pub struct HashData<'a> {
    pub data: &'a [u8],
    pub hash: Hash,
    pub hierarchy: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    pub digest: Vec<u8>,
    ticket: Ticket,
}

/// TPM2_Sign with the key's own scheme; the reply is a TPMT_SIGNATURE.
pub struct Sign<'a> {
    pub key: u32,
    pub password: &'a [u8],
    pub hashed: &'a Hashed,
}

/// TPM2_FlushContext.
pub struct FlushContext {
    pub handle: u32,
}

/// TPMT_TK: a proof of the TPM for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ticket {
    tag: u16,
    hierarchy: u32,
    digest: Vec<u8>,
}

impl Request for CreatePrimary<'_> {
    type Reply = Primary;

    const HAS_HANDLE: bool = true;

    fn command(&self) -> Command<'_> {
        Command {
            code: 0x131,
            handles: vec![self.hierarchy],
            authorizations: vec![Authorization::Password(self.hierarchy_password)],
            parameters: creation(self.password, self.template),
        }
    }

    fn reply(handle: u32, parameters: &mut Reader<'_>) -> Result<Primary, WireError> {
        let public = parameters.sized(BUFFER_BYTES_MAX)?.to_vec();
        skip_creation(parameters)?;
        parameters.sized(BUFFER_BYTES_MAX)?;
        Ok(Primary { handle, public })
    }
}

impl Request for Create<'_> {
    type Reply = Created;

    fn command(&self) -> Command<'_> {
        Command {
            code: 0x153,
            handles: vec![self.parent],
            authorizations: vec![Authorization::Password(self.parent_password)],
            parameters: creation(self.password, self.template),
        }
    }

    fn reply(_: u32, parameters: &mut Reader<'_>) -> Result<Created, WireError> {
        let private = parameters.sized(BUFFER_BYTES_MAX)?.to_vec();
        let public = parameters.sized(BUFFER_BYTES_MAX)?.to_vec();
        skip_creation(parameters)?;
        Ok(Created { private, public })
    }
}

impl Request for Load<'_> {
    type Reply = u32;

    const HAS_HANDLE: bool = true;

    fn command(&self) -> Command<'_> {
        Command {
            code: 0x157,
            handles: vec![self.parent],
            authorizations: vec![Authorization::Password(self.parent_password)],
            parameters: Writer::default().sized(self.private).sized(self.public),
        }
    }

    fn reply(handle: u32, parameters: &mut Reader<'_>) -> Result<u32, WireError> {
        parameters.sized(BUFFER_BYTES_MAX)?;
        Ok(handle)
    }
}

impl HashData<'_> {
    /// The most that a TPM takes at once (part 2, section 10.4.8).
    pub const BYTES_MAX: usize = 1024;
}

impl Request for HashData<'_> {
    type Reply = Hashed;

    fn command(&self) -> Command<'_> {
        let parameters = Writer::default().sized(self.data).u16(self.hash.id()).u32(self.hierarchy);
        Command { code: 0x17d, handles: Vec::new(), authorizations: Vec::new(), parameters }
    }

    fn reply(_: u32, parameters: &mut Reader<'_>) -> Result<Hashed, WireError> {
        Ok(Hashed { digest: parameters.sized(DIGEST_BYTES_MAX)?.to_vec(), ticket: Ticket::read(parameters)? })
    }
}

impl Request for Sign<'_> {
    type Reply = Vec<u8>;

    fn command(&self) -> Command<'_> {
        let Hashed { digest, ticket } = self.hashed;
        let parameters = crate::Scheme::write(None, Writer::default().sized(digest));
        Command {
            code: 0x15d,
            handles: vec![self.key],
            authorizations: vec![Authorization::Password(self.password)],
            parameters: parameters.u16(ticket.tag).u32(ticket.hierarchy).sized(&ticket.digest),
        }
    }

    fn reply(_: u32, parameters: &mut Reader<'_>) -> Result<Vec<u8>, WireError> {
        Ok(parameters.rest().to_vec())
    }
}

impl Request for FlushContext {
    type Reply = ();

    fn command(&self) -> Command<'_> {
        let parameters = Writer::default().u32(self.handle);
        Command { code: 0x165, handles: Vec::new(), authorizations: Vec::new(), parameters }
    }

    fn reply(_: u32, _: &mut Reader<'_>) -> Result<(), WireError> {
        Ok(())
    }
}

impl Ticket {
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let (tag, hierarchy) = (reader.u16()?, reader.u32()?);
        Ok(Self { tag, hierarchy, digest: reader.sized(DIGEST_BYTES_MAX)?.to_vec() })
    }
}

/// A password, nothing that the key shall hold besides, and no PCRs.
fn creation(password: &[u8], template: &PublicArea) -> Writer {
    let sensitive = Writer::default().sized(password).sized(&[]);
    Writer::default().sized(sensitive.as_slice()).sized(&template.encode()).sized(&[]).u32(0)
}

/// What the TPM says of the creation, for those who want to have it certified.
fn skip_creation(parameters: &mut Reader<'_>) -> Result<(), WireError> {
    parameters.sized(BUFFER_BYTES_MAX)?;
    parameters.sized(DIGEST_BYTES_MAX)?;
    Ticket::read(parameters)?;
    Ok(())
}

/// Larger than any structure of a TPM, smaller than a reply.
const BUFFER_BYTES_MAX: usize = 2048;
