//! Limited rights for some callers (docs/authorization-policy.md): off unless the configuration names a policy file.
//!
//! ```text
//!   policy.hcl ── resolve (methods that exist, limits that fit them) ──▶ Policy
//!                                                                         │ caller, row
//!   target: what the items of a method are                                ▼
//!   handler ◀── Rights: which items, judged on the state that the write will meet
//! ```
//!
//! A caller that a role names has what its rules give it and no more: neither the admin socket nor an admin entry adds
//! to it. What agents, downstream servers and everybody may call is no matter of a policy.

mod resolve;
mod rights;
mod target;

pub use resolve::{Policy, PolicyError};
pub use rights::{OutOfBounds, Rights};
pub use target::{LIMITABLE, Target};
