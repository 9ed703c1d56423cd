//! The `plugins` section: which plugins are wanted, in which order, and whether the program has them.

mod block;
mod check;
mod error;
mod instead;

pub use block::PluginBlock;
pub(crate) use check::{check_agent, check_declared_once, check_server};
pub use error::PluginError;
