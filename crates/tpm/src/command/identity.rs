//! What a TPM states of its keys, and what it opens for them.

use crate::algorithm::RSASSA;
use crate::command::{Authorization, Command, Request};
use crate::public_area::DIGEST_BYTES_MAX;
use crate::wire::{Reader, WireError, Writer};
use crate::{Hash, Scheme};

/// TPM2_Certify: `signer`, an RSA key, states that `object` is in the same TPM.
pub struct Certify<'a> {
    pub object: u32,
    pub object_password: &'a [u8],
    pub signer: u32,
    pub signer_password: &'a [u8],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certification {
    /// TPMS_ATTEST.
    pub statement: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
}

/// TPM2_ActivateCredential; the secret is the reply.
pub struct ActivateCredential<'a> {
    pub activated: u32,
    pub activated_password: &'a [u8],
    pub endorsement_key: u32,
    /// For the endorsement key.
    pub policy_session: u32,
    /// TPMS_ID_OBJECT.
    pub blob: &'a [u8],
    pub secret: &'a [u8],
}

impl Request for Certify<'_> {
    type Reply = Certification;

    fn command(&self) -> Command<'_> {
        let scheme = Scheme { algorithm: RSASSA, hash: Hash::Sha256.id() };
        Command {
            code: 0x148,
            handles: vec![self.object, self.signer],
            authorizations: vec![
                Authorization::Password(self.object_password),
                Authorization::Password(self.signer_password),
            ],
            parameters: Scheme::write(Some(scheme), Writer::default().sized(&[])),
        }
    }

    fn reply(_: u32, parameters: &mut Reader<'_>) -> Result<Certification, WireError> {
        let statement = parameters.sized(STATEMENT_BYTES_MAX)?.to_vec();
        Ok(Certification { statement, signature: parameters.rest().to_vec() })
    }
}

impl Request for ActivateCredential<'_> {
    type Reply = Vec<u8>;

    fn command(&self) -> Command<'_> {
        Command {
            code: 0x147,
            handles: vec![self.activated, self.endorsement_key],
            authorizations: vec![
                Authorization::Password(self.activated_password),
                Authorization::Policy(self.policy_session),
            ],
            parameters: Writer::default().sized(self.blob).sized(self.secret),
        }
    }

    fn reply(_: u32, parameters: &mut Reader<'_>) -> Result<Vec<u8>, WireError> {
        Ok(parameters.sized(DIGEST_BYTES_MAX)?.to_vec())
    }
}

const STATEMENT_BYTES_MAX: usize = 1024;
