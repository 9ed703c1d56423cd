//! What entries must be, as pure functions with SPIRE's texts. `apply` calls them, so that all replicas agree; services
//! may call them before proposing.

mod dns_name;
mod entry;
mod id;
mod selector;

pub use dns_name::{DnsNameError, WildcardOverlap, dns_name, no_wildcard_overlap};
pub use entry::{Action, entry, entry_id, stored_svid_selectors};
pub use id::{IdRuleError, agent_id, member_id, workload_id};
pub use selector::distinct_selectors;
