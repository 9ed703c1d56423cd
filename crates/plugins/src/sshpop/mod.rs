//! `sshpop`: an agent proves that it holds the host key of an OpenSSH host certificate.
//!
//! ```text
//!   agent ── payload: host certificate ────────────────▶ server   signed by a configured authority, valid now?
//!   agent ◀─ challenge: 32-byte nonce ─────────────────── server
//!   agent ── response: own nonce, signature over both ─▶ server   id = SHA-256 of the certificate
//! ```
//!
//! What is signed is SHA-256(server nonce ‖ agent nonce), once more hashed by the SSH signature scheme. Wire format and
//! texts are SPIRE's; certificates are those of OpenSSH's PROTOCOL.certkeys.

mod agent;
mod authorities;
mod certificate;
mod host_key;
mod public_key;
mod reader;
mod server;
mod wire;

pub use agent::{SshPopAgent, SshPopFiles};
pub use authorities::{Authorities, AuthoritiesError};
pub use server::{SshPopServer, SshPopSettings};

pub(crate) const NAME: &str = "sshpop";
