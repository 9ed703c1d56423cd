//! Taking over what another server knew.
//!
//! ```text
//!   steeple-import (rows, plan) ── cli/import ── admin socket ── service/import ──► log: CommandKind::Import
//!                                     │ wire: records             │ authority: what may sign here, sealed
//!                                     └ in batches, twice: first a dry run of all, then for good
//! ```
//!
//! A batch is one command, so it is written whole or not at all, on every replica. What is there already is left alone:
//! an import that broke off is simply started again.

pub mod authority;
pub mod wire;
