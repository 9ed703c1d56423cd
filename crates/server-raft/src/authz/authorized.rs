//! The proof that a call was authorized.

use std::sync::Arc;

use steeple_core::{SpiffeId, Timestamp, TrustDomain};
use steeple_state::State;
use tonic::{Request, Status};

use super::{Allowance, Caller, RateLimits, Rights, Transport, limit};

/// Made by this module alone, once a call passed the table. Handlers that act on somebody's behalf ask for it.
#[derive(Clone, Debug)]
pub struct Authorized {
    pub(super) caller: Caller,
    pub(super) class: Class,
    /// Of [`Class::Limited`].
    pub(super) rights: Option<Rights>,
    pub(super) allowance: Allowance,
    pub(super) limits: Arc<RateLimits>,
}

/// As what a caller was let in (SPIRE's `authorized_as` and `authorized_via`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Admin {
        via_config: bool,
    },
    Agent,
    Downstream,
    /// By a policy, which says what of its items.
    Limited,
    Local,
    Nobody,
}

impl Authorized {
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub fn class(&self) -> Class {
        self.class
    }

    /// What the caller is limited to; `None` is everything that the method does.
    pub fn rights(&self) -> Option<&Rights> {
        self.rights.as_ref()
    }

    /// Whether lists and the like show what is kept of the trust domain.
    pub fn sees_domain(&self, trust_domain: &TrustDomain) -> bool {
        self.rights.as_ref().is_none_or(|rights| rights.sees_domain(trust_domain))
    }

    /// The calling agent's ID; an error in any other class, which the table does not let through.
    pub fn agent_id(&self) -> Result<&SpiffeId, Status> {
        match (self.class, &self.caller.id) {
            (Class::Agent, Some(id)) => Ok(id),
            _ => Err(Status::internal("caller ID missing from request context")),
        }
    }

    /// The calling downstream server's ID.
    pub fn downstream_id(&self) -> Result<&SpiffeId, Status> {
        match (self.class, &self.caller.id) {
            (Class::Downstream, Some(id)) => Ok(id),
            _ => Err(Status::internal("caller ID missing from request context")),
        }
    }

    /// Whether a call made now would be let in as this one was; for what outlasts a call. What the configuration says
    /// does not change while a server runs.
    pub fn is_still_let_in(&self, state: &State, now: Timestamp) -> bool {
        let has_expired = self.caller.identity().is_some_and(|identity| identity.not_after < now);
        let by_entry = || self.caller.id.as_ref().is_some_and(|id| state.caller_flags(id).admin);
        !has_expired && (self.class != Class::Admin { via_config: false } || by_entry())
    }

    /// Waits for the caller's tokens for a batch of `count` items; see [`Charge::Items`](super::Charge).
    pub async fn pay_for_items(&self, count: usize) -> Result<(), Status> {
        self.allowance.take(count).await
    }

    /// Waits for the tokens that `count` calls of `method`, or a batch of so many items, would cost: for what a stream
    /// carries in place of them.
    pub async fn pay_as(&self, method: &str, count: usize) -> Result<(), Status> {
        match limit(method) {
            Some(limit) => self.limits.allowance(limit, &self.caller, self.class, None).take(count).await,
            None => Ok(()),
        }
    }

    /// The serial of the caller's certificate, in decimal; empty without one.
    pub fn serial(&self) -> &str {
        match &self.caller.transport {
            Transport::Tcp { identity: Some(identity), .. } => &identity.serial,
            _ => "",
        }
    }
}

impl Class {
    /// SPIRE's log field `authorized_as`.
    pub fn authorized_as(self) -> &'static str {
        match self {
            Self::Admin { .. } => "admin",
            Self::Agent => "agent",
            Self::Downstream => "downstream",
            Self::Limited => "limited",
            Self::Local => "local",
            Self::Nobody => "nobody",
        }
    }

    /// SPIRE's log field `authorized_via`.
    pub fn authorized_via(self) -> &'static str {
        match self {
            Self::Admin { via_config: true } => "config",
            Self::Admin { via_config: false } | Self::Downstream => "entries",
            Self::Agent => "datastore",
            Self::Limited => "policy",
            Self::Local => "transport",
            Self::Nobody => "",
        }
    }
}

/// What the layer left in the request.
pub fn authorized<T>(request: &Request<T>) -> Result<Authorized, Status> {
    request
        .extensions()
        .get::<Authorized>()
        .cloned()
        .ok_or_else(|| Status::internal("the call reached its handler without authorization"))
}
