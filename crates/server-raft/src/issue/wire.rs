//! Between the signer's values and the messages of the peer channel.

use steeple_api::steeple::peer as wire;
use steeple_ca::{DistinguishedName, HolderKeyError, IssueError, PublicKeyError, RandomError, SignedToken, X509Svid};
use tonic::Code;

use super::keys::KeysError;

/// Why one item was not signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub code: Code,
    pub message: String,
}

impl Refused {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<&KeysError> for Refused {
    fn from(error: &KeysError) -> Self {
        let code = match error {
            KeysError::NoAuthority(_) | KeysError::NoKeyring | KeysError::Sealed(_) => Code::Unavailable,
            _ => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<IssueError> for Refused {
    fn from(error: IssueError) -> Self {
        let code = match error {
            IssueError::AuthorityExpired | IssueError::AuthorityNotYetValid { .. } => Code::Unavailable,
            IssueError::NoAudience => Code::InvalidArgument,
            _ => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<PublicKeyError> for Refused {
    fn from(error: PublicKeyError) -> Self {
        Self::new(Code::InvalidArgument, error.to_string())
    }
}

impl From<HolderKeyError> for Refused {
    fn from(error: HolderKeyError) -> Self {
        Self::new(Code::InvalidArgument, error.to_string())
    }
}

impl From<RandomError> for Refused {
    fn from(error: RandomError) -> Self {
        Self::new(Code::Internal, error.to_string())
    }
}

pub(super) fn refused(why: Refused) -> wire::SignResult {
    let failure = wire::SignFailure { code: why.code as i32, message: why.message };
    wire::SignResult { result: Some(wire::sign_result::Result::Failure(failure)) }
}

pub(super) fn x509_signed(svid: X509Svid) -> wire::SignResult {
    let signed =
        wire::X509Signed { cert_chain: svid.chain, not_after: svid.not_after.as_secs(), upstream_roots: Vec::new() };
    wire::SignResult { result: Some(wire::sign_result::Result::X509(signed)) }
}

pub(super) fn token_signed(token: SignedToken) -> wire::TokenSigned {
    let (issued_at, expires_at) = (token.issued_at.as_secs(), token.expires_at.as_secs());
    wire::TokenSigned { token: token.token, issued_at, expires_at }
}

/// An empty subject is the default one.
pub(super) fn distinguished_name(der: &[u8]) -> Result<Option<DistinguishedName>, Refused> {
    if der.is_empty() {
        return Ok(None);
    }
    DistinguishedName::from_der(der)
        .map(Some)
        .ok_or_else(|| Refused::new(Code::InvalidArgument, "subject is not a distinguished name in DER"))
}
