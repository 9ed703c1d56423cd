//! Who may call what.
//!
//! ```text
//!   request ── layer ── caller (who, over which transport) ── table (a row per RPC) ──▶ Authorized, or a status
//!                                        │  └─ entrance: the row read for a caller ├─ limits: how often
//!                                        │                                         └─ policy: which items
//!                                        └─ agent: is this certificate still the agent's?
//! ```
//!
//! A handler gets its [`Authorized`] from the request; nothing outside this module can make one.

mod agent;
mod authorized;
mod caller;
#[cfg(test)]
mod document;
mod entrance;
mod layer;
mod limits;
mod policy;
mod table;

pub use agent::{AgentDecision, Denial, calling_holder, decide};
pub use authorized::{Authorized, Class, authorized};
pub use caller::{Caller, Transport};
pub use entrance::{Entrance, Standing};
pub use layer::{AuthorizeLayer, Authorizer};
pub use limits::{Allowance, Charge, LIMITS, Limit, LimitKind, RateLimits, limit};
pub use policy::{LIMITABLE, OutOfBounds, Policy, PolicyError, Rights, Target};
pub use table::{Row, TABLE, row};
