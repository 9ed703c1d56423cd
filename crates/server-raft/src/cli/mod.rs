//! The server's command line: SPIRE's commands with SPIRE's flags, texts and exit codes, and our own `ca` and
//! `cluster`.
//!
//! All but `run` and `validate` are clients of the admin socket. A file holds one group of commands: its flags, what it
//! asks of the server, and how it prints the answer.
//!
//! ```text
//!   table.rs      the program: groups, common flags, how a command is called
//!   start.rs      from arguments to an exit code; `run` is handed back to main
//!   run_flags.rs  the flags of run and validate, and the settings they lead to
//!   entry/ agent/ bundle federation/ token x509 jwt wit    identities
//!   ca local_authority upstream_authority cluster          the server itself
//!   import/                                                what a SPIRE server knew
//!   audit/                                                 audit files, verified and shown
//!   backup/ restore recover log                            the replicated state as files; offline: common to them
//!   living                                                 who still serves beside what is restored or recovered
//!   seal/                                                  the sealing key's file, and the keys under it
//!   healthcheck logger debug validate                      operation
//!   why/                                                   what stands between a workload and its identity
//!   shell         completions and the manual page
//!   progress.rs   how far a long command is
//!   oidc          the OIDC discovery provider, a process of its own
//! ```

mod agent;
mod audit;
mod backup;
mod bundle;
mod bundle_data;
mod ca;
mod cluster;
mod columns;
mod debug;
mod entry;
mod federation;
mod go_json;
mod healthcheck;
mod import;
mod jwt;
mod living;
mod local_authority;
mod log;
mod logger;
mod offline;
mod oidc;
mod progress;
mod recover;
mod reply;
mod restore;
mod run_flags;
mod seal;
mod selectors;
mod shell;
mod start;
mod table;
mod token;
mod upstream_authority;
mod validate;
mod why;
mod wit;
mod x509;

pub use run_flags::RunFlags;
pub use start::{Outcome, start};
pub use table::{Action, program};
