//! Which container a process is in, told from files of `/proc`, and whether it has a right to be there.
//!
//! ```text
//!   /proc/<pid>/cgroup ────► paths ──┐
//!                                    ├── extract ──► Container { pod UID, container ID }
//!   /proc/<pid>/mountinfo ─► roots ──┘                   │
//!   (only if the first names no container)               ▼
//!   /proc/*/{cgroup,status,ns/pid} ──► Inhabitants ──► host_pid: refuse or go on
//! ```
//!
//! Everything that decides is a function over text or values ([`extract`], [`legacy`], [`pid_namespace`]); [`locate`]
//! and [`processes`] only read.

pub mod cgroup_file;
pub mod extract;
pub mod legacy;
pub mod locate;
pub mod mount_info;
pub mod pid_namespace;
pub mod processes;
mod text;

pub use extract::{Conflict, Container, Wanted};
pub use locate::{LocateError, Located, Locator, Source};
pub use pid_namespace::{HostPid, Masquerade, Owner};

#[cfg(test)]
mod samples;
