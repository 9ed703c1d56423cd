//! The form of a backup file.
//!
//! ```text
//!   file    = magic version header rows* footer
//!   header  = frame 1, pb::Header in the clear
//!   rows    = frame 2, pb::Rows sealed with the key that the header holds wrapped
//!   footer  = frame 3, pb::Footer in the clear, with a tag that only a holder of that key can make
//!   frame   = kind:u8 length:u32 sha256(payload) payload         integers little endian
//! ```
//!
//! Hashes find damage without any key; tags find forgery with it. The hash of the header is bound to each chunk, the
//! chunk's number is its nonce, and the footer's tag covers how many there are: nothing can be left out, moved, or
//! put in from another backup.

use aws_lc_rs::digest::{Context, SHA256, digest};
use prost::Message as _;
use steeple_api::steeple::backup as pb;
use steeple_state::limits::COMMANDS_BYTES_MAX;

pub(super) const MAGIC: &[u8; 8] = b"STPLBKUP";
pub(super) const VERSION: u32 = 1;
/// What a release must understand to restore the rows: the format version of the state's codec.
pub(super) const FEATURE_LEVEL: u32 = steeple_state::codec::FORMAT_VERSION as u32;

pub(super) const HEADER: u8 = 1;
pub(super) const ROWS: u8 = 2;
pub(super) const FOOTER: u8 = 3;

/// Rows are collected up to this size, so that a tag and a hash cover a piece worth their overhead.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
/// The longest payload: one row is at most what one log entry carried, on top of a chunk that was nearly full.
pub(super) const PAYLOAD_BYTES_MAX: usize = 2 * COMMANDS_BYTES_MAX + CHUNK_BYTES;

pub(super) type Sha256 = [u8; 32];

pub(super) fn sha256(bytes: &[u8]) -> Sha256 {
    to_array(digest(&SHA256, bytes).as_ref())
}

/// The hash of what went into `context` so far.
pub(super) fn so_far(context: &Context) -> Sha256 {
    to_array(context.clone().finish().as_ref())
}

/// What the footer's tag covers.
pub(super) fn sealed_by_footer(header: &Sha256, summary: &pb::Summary) -> Vec<u8> {
    let mut bytes = b"steeple backup footer\0".to_vec();
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(&summary.encode_to_vec());
    bytes
}

/// SHA-256 gives 32 bytes.
fn to_array(hash: &[u8]) -> Sha256 {
    let mut array = Sha256::default();
    array.copy_from_slice(hash);
    array
}
