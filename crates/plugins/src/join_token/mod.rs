//! `join_token`, the agent's half: the payload is the token itself (SPIRE behaviour).

use steeple_core::Secret;
use steeple_core::plugin::{AgentChannel, AgentNodeAttestor, AttestError, BoxFuture};

pub struct JoinTokenAttestor {
    token: Option<Secret>,
}

impl JoinTokenAttestor {
    pub const NAME: &str = "join_token";

    /// `None` when none was configured: attestation then says so instead of asking the server.
    pub fn new(token: Option<Secret>) -> Self {
        Self { token }
    }
}

impl AgentNodeAttestor for JoinTokenAttestor {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn attest<'a>(&'a self, channel: &'a mut dyn AgentChannel) -> BoxFuture<'a, Result<(), AttestError>> {
        Box::pin(async move {
            let token = self.token.as_ref().filter(|token| !token.expose().is_empty());
            let token = token.ok_or_else(|| AttestError::invalid("join token was not provided"))?;
            match channel.send(token.expose().to_vec()).await? {
                None => Ok(()),
                Some(_) => Err(AttestError::internal("server sent a challenge, and a join token answers none")),
            }
        })
    }
}
