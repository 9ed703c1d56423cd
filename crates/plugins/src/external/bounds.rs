//! How long a plugin may take, and how much it may say.

use std::time::Duration;

/// Time limits of one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From the start of the program to the line that tells its socket.
    pub start: Duration,
    /// Init, Configure and Validate, each.
    pub setup: Duration,
    /// Every other call; a stream has it for each message.
    pub call: Duration,
    /// What it may still do when it is told that it ends.
    pub deinit: Duration,
    /// From being asked to end until it is killed.
    pub exit: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            // go-plugin's.
            start: Duration::from_secs(60),
            setup: Duration::from_secs(60),
            // What a workload attestor has (SPIRE waits without end).
            call: Duration::from_secs(30),
            // SPIRE's is 10 s, which is all that our programs have for their end.
            deinit: Duration::from_secs(3),
            // go-plugin's.
            exit: Duration::from_secs(2),
        }
    }
}

/// Each is a process, a thread that waits for its end, and two sockets.
pub const PLUGINS_MAX: usize = 32;
/// go-plugin's. What is longer is cut.
pub(super) const LOG_LINE_BYTES_MAX: usize = 64 * 1024;
/// Lines in each window that go into our log.
pub(super) const LOG_LINES_MAX: u32 = 200;
pub(super) const LOG_WINDOW: Duration = Duration::from_secs(1);
/// Version, version, network, path, protocol; a path has some hundred bytes.
pub(super) const HANDSHAKE_LINE_BYTES_MAX: usize = 4 * 1024;
/// Fields of one line of its log.
pub(super) const LOG_FIELDS_MAX: usize = 32;
/// Names of metrics, label by label, that one plugin may make up.
pub(super) const METRIC_SERIES_MAX: usize = 1_000;
/// Of a metric's name and labels together.
pub(super) const METRIC_SERIES_BYTES_MAX: usize = 1024;
/// Of one node or process; a pod has some hundred.
pub(super) const SELECTORS_MAX: usize = 10_000;
/// Services that a plugin says it has, and of each name.
pub(super) const SERVICES_MAX: usize = 32;
pub(super) const SERVICE_NAME_CHARS_MAX: usize = 200;
/// Parts of a metric's name, and labels.
pub(super) const METRIC_PARTS_MAX: usize = 16;
/// A program is read whole before it is started.
pub(super) const PROGRAM_BYTES_MAX: u64 = 1024 * 1024 * 1024;
