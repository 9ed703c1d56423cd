//! Node attestation, both ends: the server's verifier and the agent's prover.

use std::net::IpAddr;

use super::BoxFuture;
use crate::{SelectorSet, SpiffeId};

/// The server's side: verifies a payload, possibly through challenges.
pub trait NodeAttestor: Send + Sync {
    /// The attestation type, for instance `x509pop`.
    fn name(&self) -> &str;

    fn attest<'a>(
        &'a self,
        payload: &'a [u8],
        peer: Option<IpAddr>,
        channel: &'a mut dyn ChallengeChannel,
    ) -> BoxFuture<'a, Result<Attested, AttestError>>;
}

/// What an attestor found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    pub agent_id: SpiffeId,
    pub selectors: SelectorSet,
    pub can_reattest: bool,
}

/// Sends a challenge to the attesting agent and awaits its answer.
pub trait ChallengeChannel: Send {
    fn challenge<'a>(&'a mut self, challenge: Vec<u8>) -> BoxFuture<'a, Result<Vec<u8>, AttestError>>;
}

/// The agent's side: yields a payload, then answers challenges.
pub trait AgentNodeAttestor: Send + Sync {
    fn name(&self) -> &str;

    fn attest<'a>(&'a self, channel: &'a mut dyn AgentChannel) -> BoxFuture<'a, Result<(), AttestError>>;
}

/// The agent's view of the attestation stream. `send` returns the next challenge, or `None` once the server is content.
pub trait AgentChannel: Send {
    fn send<'a>(&'a mut self, message: Vec<u8>) -> BoxFuture<'a, Result<Option<Vec<u8>>, AttestError>>;
}

/// A refusal with the gRPC status that SPIRE's clients expect for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AttestError {
    pub status: AttestStatus,
    pub message: String,
}

/// The gRPC codes that attestors use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttestStatus {
    FailedPrecondition,
    Internal,
    InvalidArgument,
    PermissionDenied,
    Unavailable,
    /// Another code, by its number, as a program that is no part of ours gave it.
    Other(i32),
}

impl AttestError {
    pub fn new(status: AttestStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(AttestStatus::InvalidArgument, message)
    }

    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(AttestStatus::PermissionDenied, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(AttestStatus::Internal, message)
    }
}
