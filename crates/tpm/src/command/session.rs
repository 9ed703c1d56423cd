//! A policy session, which is how the endorsement key is used.

use crate::Hash;
use crate::algorithm::NULL;
use crate::command::{Authorization, Command, NO_HANDLE, Request};
use crate::public_area::DIGEST_BYTES_MAX;
use crate::wire::{Reader, WireError, Writer};

/// TPM2_StartAuthSession, of a policy with SHA-256, neither bound nor salted: the way to the TPM is trusted, as SPIRE
/// does. The session is the reply.
pub struct StartPolicySession;

/// TPM2_PolicySecret: whoever knows the password of `hierarchy` satisfies this part of the policy.
pub struct PolicySecret<'a> {
    pub hierarchy: u32,
    pub password: &'a [u8],
    pub session: u32,
}

impl Request for StartPolicySession {
    type Reply = u32;

    const HAS_HANDLE: bool = true;

    fn command(&self) -> Command<'_> {
        // The nonce protects what is encrypted or bound, which nothing here is.
        let parameters = Writer::default().sized(&[0; NONCE_BYTES]).sized(&[]).u8(POLICY).u16(NULL);
        let parameters = parameters.u16(Hash::Sha256.id());
        Command { code: 0x176, handles: vec![NO_HANDLE, NO_HANDLE], authorizations: Vec::new(), parameters }
    }

    fn reply(handle: u32, parameters: &mut Reader<'_>) -> Result<u32, WireError> {
        parameters.sized(DIGEST_BYTES_MAX)?;
        Ok(handle)
    }
}

impl Request for PolicySecret<'_> {
    type Reply = ();

    fn command(&self) -> Command<'_> {
        Command {
            code: 0x151,
            handles: vec![self.hierarchy, self.session],
            authorizations: vec![Authorization::Password(self.password)],
            // Neither nonce, nor command, nor reference; it does not expire.
            parameters: Writer::default().sized(&[]).sized(&[]).sized(&[]).u32(0),
        }
    }

    fn reply(_: u32, parameters: &mut Reader<'_>) -> Result<(), WireError> {
        // A timeout and a ticket for later.
        parameters.rest();
        Ok(())
    }
}

const NONCE_BYTES: usize = 16;
/// TPM_SE_POLICY.
const POLICY: u8 = 1;
