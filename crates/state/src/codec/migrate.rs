//! The chain of versions: each step turns a payload of one version into the next. Version 1 is the first, so there is
//! no step yet; the next one is `v1_to_v2(payload) -> Result<Vec<u8>, DecodeError>`, called in the arm for 1.

use std::borrow::Cow;

use super::DecodeError;
use super::frame::FORMAT_VERSION;

pub(super) fn to_current(version: u8, payload: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    match version {
        FORMAT_VERSION => Ok(Cow::Borrowed(payload)),
        found => Err(DecodeError::UnknownVersion { found, known: FORMAT_VERSION }),
    }
}
