//! The agent's command line: SPIRE's commands with SPIRE's flags, texts and exit codes.
//!
//! ```text
//!   table.rs      the program: groups, common flags, how a command is called
//!   start.rs      from arguments to an exit code; `run` is handed back to main
//!   run_flags.rs  the flags of run and validate, and the settings they lead to
//!   api/          clients of the Workload API: what a workload would get
//!   healthcheck logger debug validate    operation
//!   shell         completions and the manual page
//!   spiffe_helper.rs    SVIDs in files
//! ```

mod api;
mod debug;
mod healthcheck;
mod logger;
mod run_flags;
mod shell;
mod spiffe_helper;
mod start;
mod table;
mod validate;

pub use run_flags::RunFlags;
pub use start::{Outcome, start};
pub use table::{Action, program};
