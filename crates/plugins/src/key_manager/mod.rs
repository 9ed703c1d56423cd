//! `disk` and `memory`: where an agent keeps the keys of its own SVID.

mod disk;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod generate;
mod memory;

pub use disk::DiskKeys;
pub use generate::generate_pkcs8;
pub use memory::MemoryKeys;
