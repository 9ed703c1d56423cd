//! Commands and replies (part 1, section 18; part 3): bytes for the TPM, and what its bytes mean.

mod frame;
mod identity;
mod key;
mod nv;
mod response_code;
mod session;

pub use frame::{Authorization, Command, REPLY_BYTES_MAX, REPLY_HEAD_BYTES, ReplyError, decode_reply, reply_bytes};
pub use identity::{ActivateCredential, Certification, Certify};
pub use key::{Create, CreatePrimary, Created, FlushContext, HashData, Hashed, Load, Primary, Sign};
pub use nv::{NvBufferBytes, NvDataBytes, NvRead};
pub use response_code::ResponseCode;
pub use session::{PolicySecret, StartPolicySession};

use crate::wire::{Reader, WireError};

/// A command with what its reply means.
pub trait Request {
    type Reply;

    fn command(&self) -> Command<'_>;

    /// `parameters` are all that is left of the reply, without its authorizations. `handle` is there when
    /// [`Self::HAS_HANDLE`].
    fn reply(handle: u32, parameters: &mut Reader<'_>) -> Result<Self::Reply, WireError>;

    /// Whether a reply begins with the handle of what was made.
    const HAS_HANDLE: bool = false;
}

/// Hierarchies (part 2, section 7.4).
pub const OWNER: u32 = 0x4000_0001;
pub const ENDORSEMENT: u32 = 0x4000_000b;
/// No hierarchy, no key.
pub const NO_HANDLE: u32 = 0x4000_0007;
