//! Node attestors: both halves against each other, and each half against what it should not believe.

mod contract;
mod conversation;
mod http_challenge;
mod kubernetes_protocol_double;
mod sshpop;
mod tpm_devid;
