//! `tpm_devid`: an agent proves that its device's identity key (LDevID) is in a TPM of a known manufacturer.
//!
//! ```text
//!   agent ── payload: certificates of DevID and EK, public areas   ─▶ server   certificates chain to configured CAs,
//!            of both and of the AK, the AK's statement that                    the AK vouches for the DevID
//!            the DevID is in its TPM
//!   agent ◀─ challenge: nonce, a credential for EK and AK ─────────── server
//!   agent ── response: the DevID's signature over the nonce, ──────▶ server   id = SHA-1 of the DevID certificate
//!            what was in the credential
//! ```
//!
//! The credential is what ties the three keys together: only the TPM with the endorsement key (EK) can open it, and
//! only while the attestation key (AK) is loaded there. Wire format and texts are SPIRE's.

mod agent;
mod autodetect;
mod device;
mod evidence;
mod keys;
mod nonce;
mod server;
mod session;
mod tpm;
mod wire;

pub use agent::{TpmDevIdAgent, TpmDevIdFiles, TpmPasswords};
pub use server::{TpmDevIdServer, TpmDevIdSettings, UnusableRoot};

pub(crate) const NAME: &str = "tpm_devid";
