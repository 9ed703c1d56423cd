//! `x509pop`: an agent proves that it holds the key of a certificate that chains to a configured CA.
//!
//! ```text
//!   agent ── payload: certificates, leaf first ──────────────▶ server   chain verified
//!   agent ◀─ challenge: 32-byte nonce, by key kind ─────────── server
//!   agent ── response: own nonce, signature over both ───────▶ server   id = sha1 of the leaf, selectors
//! ```
//!
//! The signed digest is SHA-256(server nonce ‖ agent nonce). Wire format and texts are SPIRE's.

mod agent;
mod leaf;
mod proof;
mod server;
mod wire;

pub use agent::{X509PopAgent, X509PopFiles};
pub use server::{OwnRoots, Trust, X509PopServer, X509PopSettings};

pub(crate) const NAME: &str = "x509pop";
