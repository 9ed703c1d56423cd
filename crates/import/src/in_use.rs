//! Whether another process has a SQLite database open.

use std::fs::File;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// Every connection to a database with a write-ahead log holds a lock on this byte of the shared-memory file as long
/// as it is open (`UNIX_SHM_DMS` in SQLite's `os_unix.c`; https://www.sqlite.org/walformat.html, section 2.3).
const OPEN_LOCK_BYTE: libc::off_t = 128;

/// `shared_memory` is the file that ends in `-shm`. Locks of other machines are not seen.
pub(crate) fn is_in_use(shared_memory: &Path) -> bool {
    let Ok(file) = File::open(shared_memory) else { return false };
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: OPEN_LOCK_BYTE,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_GETLK(&mut lock)).is_ok() && lock.l_type != libc::F_UNLCK as libc::c_short
}
