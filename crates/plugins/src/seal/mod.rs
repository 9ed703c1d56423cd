//! Seals: what guards a server's sealing key (`docs/plugins/seal.md`, `docs/adr/0012-seals.md`).

mod passphrase;
mod pkcs11;
mod secret;
mod transit;

pub use passphrase::PassphraseSeal;
pub use pkcs11::{Pkcs11Seal, Pkcs11Token};
pub use secret::read as read_secret;
pub use transit::{TransitKey, TransitSeal};
