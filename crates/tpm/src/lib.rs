//! What a TPM 2.0 says and is told, without a TPM: bytes in, values out, and back. No I/O, no clock, no async.
//!
//! ```text
//!   wire          integers and sized buffers (TPM2B)
//!   algorithm     TPM_ALG_ID, hashes
//!   attributes    TPMA_OBJECT
//!   public_area   TPMT_PUBLIC, and the Name that it gives a key
//!   template      the keys that an attestation makes: EK, SRK, AK
//!   attestation   TPMS_ATTEST: what TPM2_Certify states of a key
//!   signature     TPMT_SIGNATURE
//!   certification whether a key of a TPM states that another key is in the same TPM
//!   credential    a secret that only one TPM can read, and only with one key loaded (TPM2_MakeCredential in software)
//!   command/      commands and their replies; codes of refusals
//! ```
//!
//! Structures and section numbers are those of the TCG's TPM 2.0 Library Specification, revision 1.38: part 1 (the
//! architecture), 2 (structures), 3 (commands). Only what node attestation needs is here, and lengths are bounded by
//! what a TPM can hold.

mod algorithm;
mod attestation;
mod attributes;
mod certification;
pub mod command;
mod credential;
mod kdf;
mod public_area;
mod signature;
mod template;
mod wire;

pub use algorithm::{AES, CFB, Curve, ECDSA, Hash, NULL, RSAPSS, RSASSA};
pub use attestation::Certified;
pub use attributes::Attributes;
pub use certification::{CertificationError, verify_certification};
pub use credential::{Credential, CredentialError, make_credential};
pub use public_area::{Name, Parameters, PublicArea, PublicKey, Scheme, Symmetric, unsized_buffer};
pub use signature::Signature;
pub use template::{attestation_key, endorsement_key, storage_root_key_ecc, storage_root_key_rsa};
pub use wire::{Reader, WireError, Writer};
