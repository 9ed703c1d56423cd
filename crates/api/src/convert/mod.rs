//! Between the wire's messages and the core types.
//!
//! `*_from_wire` parses: it checks what a value of the core type needs and leaves rules, such as which IDs an entry may
//! carry, to `state::validate`. Its error is the inner part of SPIRE's text; the service puts the outer part before it
//! ("failed to convert entry: …"). `*_to_wire` takes the caller's output mask: absent means every field, present means
//! only the fields that are true, and what identifies the record is always there.

mod agent;
mod authority;
mod bundle;
mod endpoint_url;
mod entry;
mod error;
mod federation;
mod filter;
mod id;
mod selector;

pub use agent::agent_to_wire;
pub use authority::{
    jwt_authority_from_wire, jwt_authority_to_wire, wit_authority_to_wire, x509_authority_from_wire,
    x509_authority_to_wire,
};
pub use bundle::{bundle_from_wire, bundle_to_wire};
pub use entry::{EntryDraft, UnreadableEntry, entry_from_wire, entry_to_wire};
pub use error::ConvertError;
pub use federation::{relationship_from_wire, relationship_to_wire};
pub use filter::{UnhandledMatch, selector_filter_from_wire, trust_domain_filter_from_wire};
pub use id::{id_from_wire, id_to_wire, trust_domain_from_wire};
pub use selector::{selector_from_wire, selector_to_wire, selectors_from_wire, selectors_to_wire};
