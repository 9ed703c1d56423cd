//! What services and drivers read: methods on [`crate::State`], each over memory only.

mod agent;
mod audit;
mod authority;
mod authorized;
mod bundle;
mod caller;
mod clock;
mod cluster;
mod entry;
mod onlookers;
mod page;
mod web;

pub use agent::{AgentCursor, AgentFilter};
pub use authorized::is_node_alias;
pub use caller::CallerFlags;
pub use clock::{ClockReset, Ending, EndingAuthority};
pub use entry::{EntryFilter, EntryScope, SelectorFilter, TrustDomainFilter};
pub use onlookers::Onlookers;
pub use page::{Page, PageRequest, TokenError};
