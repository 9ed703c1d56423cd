//! The nouns of Steeple: what a SPIFFE ID, a registration entry, an attested agent and a bundle *are*.
//!
//! Nothing here does I/O, reads a clock or knows async runtimes; every other crate speaks in these types.
//!
//! ```text
//!   id ── selector ── entry ─┐
//!                    agent ──┼── what the replicated state holds
//!   bundle ── authority ─────┤
//!   join_token  federation ──┤
//!   web_certificate ─────────┘
//!   id_pattern               an ID, or all below a path
//!   clock, secret            time as a value, secrets that cannot be printed
//!   go_url, go_json          what Go takes for a URL, and what it says of a text that is no JSON
//!   system_error             how Go tells what the system said
//!   token_bucket             how many calls a second somebody may make
//!   plugin/                  the small traits that attestors and key managers implement
//! ```

mod agent;
mod authority;
mod bundle;
mod clock;
mod entry;
mod federation;
mod go_json;
mod go_url;
mod id;
mod id_pattern;
mod join_token;
pub mod plugin;
mod rpc_code;
mod secret;
mod selector;
mod system_error;
mod token_bucket;
mod web_certificate;

pub use agent::AttestedAgent;
pub use authority::{Authority, AuthorityId, AuthorityKind, AuthoritySet, AuthorityStatus, KeyType, SealedKey};
pub use bundle::{Bundle, JwtAuthority, X509Authority};
pub use clock::{Clock, SystemClock, Timestamp};
pub use entry::Entry;
pub use federation::{BundleEndpointProfile, FederationRelationship};
pub use go_json::json_syntax_error;
pub use go_url::{GoUrl, GoUrlError};
pub use id::{IdError, SpiffeId, TrustDomain};
pub use id_pattern::IdPattern;
pub use join_token::JoinToken;
pub use rpc_code::rpc_code_name;
pub use secret::Secret;
pub use selector::{MatchBehavior, Selector, SelectorError, SelectorSet};
pub use system_error::{system_words, unreadable, unwritable};
pub use token_bucket::{Reservation, Shortage, TokenBucket};
pub use web_certificate::{AcmeAccount, AcmeChallenge, WebCertificate};
