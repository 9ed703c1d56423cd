//! What entries must be, as pure functions with SPIRE's texts. `apply` calls them, so that all replicas agree; services
//! may call them before proposing.

mod admission;
mod distinct;
mod dns_name;
mod entry;
mod id;

pub use admission::{creation, update};
pub(crate) use admission::{known_bundles, sorted};
pub use distinct::distinct;
pub use dns_name::{DnsNameError, WildcardOverlap, dns_name, no_wildcard_overlap};
pub use entry::{Action, convertible, creatable, lifetimes, stored_svid_selectors};
pub use id::{IdRuleError, agent_id, member_id, workload_id};
