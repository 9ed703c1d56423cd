//! `helper.conf`: the configuration of spiffe-helper.

mod command_line;
mod file;
mod resolve;
mod settings;

pub use command_line::CommandLineError;
pub use file::{JwtSvidFile, SpiffeHelperFile, SpiffeHelperHealthFile};
pub use settings::{FilePlace, HelperCommand, JwtSvidPlace, SpiffeHelperSettings, X509Places};
