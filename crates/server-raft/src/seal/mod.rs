//! The sealing key of this server: its file, and the seal that guards it (`docs/adr/0012-seals.md`).

mod custody;
mod key_file;
mod key_in_use;
mod settings;
mod standing;
mod unsealing;
mod web_key;

pub use custody::{Custody, Held};
pub use key_file::{is_unused, mark_used};
pub use key_in_use::{KeyInUse, ServerSealed};
pub use standing::{Place, Standing, StandingError, Step};
pub use unsealing::Unsealing;
pub use web_key::{open_web_key, seal_web_key};
