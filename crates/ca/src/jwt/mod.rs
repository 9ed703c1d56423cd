//! The relying side of JWT-SVIDs: which keys may have signed a token, and whether it holds.

mod header;
mod key_set;
mod validate;

pub use key_set::JwtKeySet;
pub use validate::{JwtError, LEEWAY, TOKEN_BYTES_MAX, ValidatedJwtSvid, keep_allowed_claims, validate};
