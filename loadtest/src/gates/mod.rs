//! What has to hold for a run's figures to count.

mod svids;
mod written;

pub(crate) use svids::{SvidCheck, Trust, verify_x509};
pub(crate) use written::{PAGE_ENTRIES, listing, read_back};
