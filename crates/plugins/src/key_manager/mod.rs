//! `disk` and `memory`: where an agent keeps the keys of its own SVID.

mod disk;
mod generate;
mod memory;

pub use disk::DiskKeys;
pub use generate::generate_pkcs8;
pub use memory::MemoryKeys;
