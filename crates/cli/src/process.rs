//! What a long-running program does to its own process at start, and how it hears that it should end.

use nix::sys::stat::{Mode, umask};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Takes `bits` of the mode away from every file that this process makes from now on, beside what the inherited umask
/// takes. Once, before there are threads that make files.
pub fn restrict_umask(bits: u32) {
    let strict = Mode::from_bits_truncate(bits);
    let inherited = umask(strict);
    umask(inherited | strict);
}

/// As many open files as the hard limit allows: every connection is one.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Refused only where a sandbox forbids it; the inherited limit holds then.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// The user that this process acts for.
pub fn own_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

/// No core dump of this process: it would hold keys. Before the first of them is read. Child processes inherit it.
///
/// `PR_SET_DUMPABLE` would say more, and take `/proc/PID/exe` away from an agent without `CAP_SYS_PTRACE` for which
/// this program is a workload.
pub fn forbid_core_dumps() {
    let inherited = getrlimit(Resource::Core).maximum;
    let limit = Some(inherited.map_or(CORE_BYTES_MAX, |maximum| maximum.min(CORE_BYTES_MAX)));
    // To lower a limit is always allowed; a sandbox that forbids the call sets limits of its own.
    let _ = setrlimit(Resource::Core, Rlimit { current: limit, maximum: limit });
}

/// Too little for a file. Where dumps go to a program behind a pipe, the kernel does not look at the limit, but for
/// this value (fs/coredump.c): it gives nothing away then.
const CORE_BYTES_MAX: u64 = 1;

/// This host's name; empty when it has none that is text.
pub fn hostname() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

/// SIGINT and SIGTERM.
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// From now on these signals no longer end the process by themselves.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
