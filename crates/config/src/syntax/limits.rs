//! Bounds on what is read. A configuration comes from the operator, but a wrong path (a log, a disk image) must not
//! take the memory of the host with it.

/// The largest configurations known, with every plugin and its comments, have about 60 KiB.
pub(crate) const FILE_BYTES_MAX: usize = 4 << 20;

/// SPIRE's deepest block lies eight levels down; the parser recurses once for each level.
pub(crate) const DEPTH_MAX: usize = 64;

/// Attributes, blocks and list items together.
pub(crate) const NODES_MAX: usize = 100_000;
