//! Storage from outside. A test named `trap_…` holds one known way in which Raft on RocksDB loses data.

mod child;
mod crash;
mod damage;
mod directory;
mod flush;
mod inspect;
mod install;
mod log;
mod power_cut;
mod replace;
mod rows;
mod settings;
mod snapshot;
mod support;
