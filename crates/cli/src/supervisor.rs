//! What a program tells the supervisor that started it, by systemd's protocol (sd_notify(3)): datagrams to the socket
//! that `NOTIFY_SOCKET` names. Started by hand it tells nobody anything.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use crate::Environment;

/// Whoever waits to hear that this process is ready, and that it is still alive.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    address: Option<SocketAddr>,
    /// It takes the process for hung after so long a silence.
    patience: Option<Duration>,
}

impl Supervisor {
    pub fn of_process() -> Self {
        Self::of(&Environment::of_process(), std::process::id())
    }

    /// Of the process `pid` with that environment. A name that is none, such as that of a socket of another kind, is
    /// passed over: a program must not fail for want of a listener.
    pub fn of(environment: &Environment, pid: u32) -> Self {
        let address = environment.get("NOTIFY_SOCKET").and_then(address);
        let is_ours = environment.get("WATCHDOG_PID").is_none_or(|watched| watched.parse() == Ok(pid));
        let micros =
            environment.get("WATCHDOG_USEC").and_then(|micros| micros.parse::<u64>().ok()).filter(|micros| *micros > 0);
        Self { address, patience: micros.filter(|_| is_ours).map(Duration::from_micros) }
    }

    /// What was asked of the program at start is done. `status` is one line for people.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// One line for people.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", one_line(status)));
    }

    /// The program ends, in order.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says that the process is alive for as long as its tasks are run. Ends only where nobody wants to know.
    pub async fn keep_alive(self) {
        let Some(patience) = self.patience.filter(|_| self.address.is_some()) else { return };
        let mut beats = tokio::time::interval(patience / BEATS);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            beats.tick().await;
            self.tell("WATCHDOG=1");
        }
    }

    /// A supervisor that does not read, or is gone, is no reason to stop.
    fn tell(&self, message: &str) {
        let Some(address) = &self.address else { return };
        let sent = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to_addr(message.as_bytes(), address)
        });
        if let Err(error) = sent {
            tracing::debug!(%error, "the supervisor was not told");
        }
    }
}

/// `@name` is a name in the kernel, everything else a path.
fn address(name: &str) -> Option<SocketAddr> {
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).ok(),
        None if name.starts_with('/') => SocketAddr::from_pathname(Path::new(name)).ok(),
        None => None,
    }
}

/// A line break would begin another assignment.
fn one_line(status: &str) -> String {
    status.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(STATUS_CHARS_MAX).collect()
}

/// Of a status that people read in one line of `systemctl status`.
const STATUS_CHARS_MAX: usize = 200;
/// Beats within the supervisor's patience, as sd_watchdog_enabled(3) asks for, and one more.
const BEATS: u32 = 3;
