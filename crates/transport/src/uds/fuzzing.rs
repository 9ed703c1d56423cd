//! What is read of `/proc/<pid>`, for `crates/fuzz`.

use super::{PeerError, proc_files};

/// Of `/proc/<pid>/stat`.
pub fn start_time(stat: &[u8]) -> Result<u64, PeerError> {
    proc_files::start_time(stat)
}

/// Of `/proc/<pid>/status`.
pub fn effective_ids(status: &[u8]) -> Result<(u32, u32), PeerError> {
    proc_files::effective_ids(status)
}
