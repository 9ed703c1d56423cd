//! The admin socket: Debug and Logger.

mod debug;
mod logger;

pub use debug::DebugService;
pub use logger::LoggerService;
