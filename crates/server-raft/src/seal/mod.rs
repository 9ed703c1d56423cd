//! The sealing key of this server: its file, and the seal that guards it (`docs/adr/0012-seals.md`).

mod custodian;
mod custody;
mod key_file;
mod key_in_use;
mod new_key;
mod settings;
mod standing;
mod web_key;

pub use custodian::Custodian;
pub use custody::{Custody, Held};
pub use key_file::{is_unused, mark_used};
pub use key_in_use::{KeyInUse, KeysTold, ServerSealed};
pub use new_key::{Holding, KeptKeys, MemberKey, NewKeyStep, next_step};
pub use standing::{Place, Standing, StandingError, Step};
pub use web_key::{open_web_key, seal_web_key};
