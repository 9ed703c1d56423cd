//! What both command lines share: flags as Go's `flag` package reads them, a table of commands, sockets from flags and
//! environment, gRPC over a Unix socket, and output as people (`pretty`) or scripts (`json`) read it.
//!
//! ```text
//!   arguments ──► Program::select ──► Invocation { command, values } ──► the program's own action
//!                   │ command.rs        │ parse.rs, flag.rs                 │ call.rs, dial.rs
//!                   └► Exit (help, version, usage errors; usage.rs)         └► json.rs, go_time.rs
//! ```
//!
//! Commands, flags and examples are data, so that help, completions, manual pages and `docs/commands.md` come from one
//! table. Texts and exit codes are those that scripts written for SPIRE know.

mod arguments;
mod call;
mod causes;
mod command;
mod completion;
mod dial;
mod failure;
mod files;
mod flag;
mod go_time;
mod help;
mod json;
mod logger;
mod manual;
mod output;
mod parse;
mod pem;
mod plugin_data;
mod process;
mod progress;
mod put_off;
mod reference;
mod rpc_error;
mod socket;
mod streams;
mod supervisor;
mod usage;

pub use arguments::{NotText, arguments};
pub use call::{Call, Environment};
pub use causes::one_line_of;
pub use command::{Command, Exit, Group, Invocation, Program};
pub use completion::Shell;
pub use dial::{DialError, connect};
pub use failure::{Context, Failure};
pub use files::{read_file, written};
pub use flag::{Flag, Kind};
pub use go_time::{local_time, parse_offset_time, parse_rfc3339, rfc3339_time, span, utc_time};
pub use help::{Example, Help, Origin};
pub use json::{JsonError, one_line, proto_json};
pub use logger::{log_level, print_logger};
pub use manual::Page;
pub use output::{OUTPUT, OutputFormat};
pub use parse::{FlagError, Values};
pub use pem::pem_text;
pub use plugin_data::{LoadError, PluginDataFiles, ReloadSignals, Unusable};
pub use process::{StopSignals, forbid_core_dumps, hostname, own_uid, raise_open_files, restrict_umask};
pub use progress::Progress;
pub use put_off::as_told;
pub use rpc_error::{broken_connection, never_connected, rpc_error};
pub use socket::{SocketError, SocketNames};
pub use streams::{Captured, Streams};
pub use supervisor::Supervisor;
pub use usage::usage;
