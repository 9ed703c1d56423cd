//! The tower layer in front of every service: table, then handler.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use steeple_api::status;
use steeple_core::{AttestedAgent, Clock, SpiffeId};
use steeple_state::view::CallerFlags;
use steeple_state::{CommandKind, NO_REQUEST, Outcome};
use steeple_transport::serve::Deadline;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::{
    AgentDecision, Allowance, Authorized, Caller, Charge, Class, Denial, Entrance, Policy, RateLimits, Rights, Row,
    Standing, decide, limit, row,
};
use crate::acknowledgement::Acknowledgements;
use crate::call_log;
use crate::raft::{Origin, ReadMode, Replica, View};
use crate::service::failure;

/// Evaluates the table. Cheap to clone.
#[derive(Clone)]
pub struct Authorizer {
    replica: Replica,
    rules: Arc<Rules>,
}

struct Rules {
    admin_ids: BTreeSet<SpiffeId>,
    policy: Option<Policy>,
    limits: Arc<RateLimits>,
    acknowledgements: Arc<Acknowledgements>,
    clock: Arc<dyn Clock>,
}

impl Authorizer {
    pub fn new(
        replica: Replica,
        admin_ids: impl IntoIterator<Item = SpiffeId>,
        policy: Option<Policy>,
        limits: RateLimits,
        acknowledgements: Arc<Acknowledgements>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let admin_ids = admin_ids.into_iter().collect();
        let rules = Rules { admin_ids, policy, limits: Arc::new(limits), acknowledgements, clock };
        Self { replica, rules: Arc::new(rules) }
    }

    pub fn layer(&self) -> AuthorizeLayer {
        AuthorizeLayer { authorizer: self.clone() }
    }

    /// As what the caller is let in, and within which limits.
    async fn authorize(&self, row: &Row, caller: &Caller) -> Result<(Class, Option<Rights>), Status> {
        let rights = self.rules.policy.as_ref().and_then(|policy| policy.rights(caller, row));
        let mut standing = self.standing(caller, rights.as_ref());
        if let Some(id) = caller.id.as_ref()
            && row.depends_on_entries(&standing)
        {
            standing.entries = self.fresh().await?.state().caller_flags(id);
        }
        let entrance = row.entrance(&standing);
        match (entrance, &caller.id, rights) {
            (Entrance::As(Class::Limited), _, rights) => Ok((Class::Limited, rights)),
            (Entrance::As(class), ..) => Ok((class, None)),
            (Entrance::IfAgent, Some(id), _) => {
                self.authorize_agent(row, id, caller).await?;
                Ok((Class::Agent, None))
            }
            (Entrance::Closed, _, Some(rights)) => {
                Err(Status::permission_denied(format!("{}; {}", denied(row).message(), rights.no_rule())))
            }
            (Entrance::IfAgent, None, _) | (Entrance::Closed, ..) => Err(denied(row)),
        }
    }

    /// All that needs no look at the state.
    fn standing(&self, caller: &Caller, rights: Option<&Rights>) -> Standing {
        let id = caller.id.as_ref();
        Standing {
            local: caller.is_local(),
            identified: id.is_some(),
            configured_admin: id.is_some_and(|id| self.rules.admin_ids.contains(id)),
            entries: CallerFlags::default(),
            granted: rights.map(Rights::grants),
        }
    }

    /// Who may come in is decided by everything that was acknowledged: a ban, an eviction or a deleted entry holds on
    /// every replica from then on, and an agent that attested elsewhere is known. Calls that come at the same time
    /// share a round to the leader.
    async fn fresh(&self) -> Result<View, Status> {
        let view = self.replica.read(ReadMode::Linearizable, Instant::now() + FRESH_VIEW_TIMEOUT).await;
        view.map_err(|error| failure::of_read(&error))
    }

    /// Waits for the caller's turn where the method has a limit for each call. Batches pay when they are read.
    async fn admit(
        &self,
        row: &Row,
        caller: Caller,
        (class, rights): (Class, Option<Rights>),
        deadline: Option<Deadline>,
    ) -> Result<Authorized, Status> {
        let limits = Arc::clone(&self.rules.limits);
        let Some(limit) = limit(row.method) else {
            return Ok(Authorized { caller, class, rights, allowance: Allowance::default(), limits });
        };
        let allowance = limits.allowance(limit, &caller, class, deadline);
        if limit.charge == Charge::Call {
            allowance.take(1).await?;
        }
        Ok(Authorized { caller, class, rights, allowance, limits })
    }

    async fn authorize_agent(&self, row: &Row, id: &SpiffeId, caller: &Caller) -> Result<(), Status> {
        let identity = caller.identity().ok_or_else(|| denied(row))?;
        let now = self.rules.clock.now();
        let record = match identity.not_after < now {
            // It has expired, whatever the record says.
            true => None,
            false => self.fresh().await?.state().agent(id).cloned(),
        };
        let decision = decide(record.as_deref(), &identity.serial, identity.not_after, now);
        match decision {
            AgentDecision::Allow => {}
            AgentDecision::Promote => self.promote(row, id, &identity.serial, record.as_deref()).await?,
            // An agent attests anew, or ends, when it hears that its time is over: a wrong clock must not say so.
            AgentDecision::Deny(Denial::Expired) if self.replica.clock_may_be_ahead() => {
                return Err(Status::unavailable("this server's clock is wrong, or has moved; ask another one"));
            }
            AgentDecision::Deny(reason) => {
                call_log::turned_away(reason, &identity.serial, record.as_deref());
                return Err(denied_because(row, reason));
            }
        }
        self.rules.acknowledgements.authenticated(id, identity);
        Ok(())
    }

    async fn promote(
        &self,
        row: &Row,
        id: &SpiffeId,
        serial: &str,
        record: Option<&AttestedAgent>,
    ) -> Result<(), Status> {
        let kind = CommandKind::PromoteSerial { id: id.clone(), serial: serial.to_owned() };
        let origin =
            Origin { actor: id.to_string(), request_id: NO_REQUEST, deadline: Instant::now() + PROMOTION_TIMEOUT };
        match self.replica.propose(kind, origin).await.map_err(|error| failure::of_propose(&error))? {
            Outcome::Rejected(_) => {
                call_log::turned_away(Denial::NotActive, serial, record);
                Err(denied_because(row, Denial::NotActive))
            }
            _ => Ok(()),
        }
    }
}

/// Wraps services in the authorizer.
#[derive(Clone)]
pub struct AuthorizeLayer {
    authorizer: Authorizer,
}

#[derive(Clone)]
pub struct AuthorizeService<S> {
    authorizer: Authorizer,
    inner: S,
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = AuthorizeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthorizeService { authorizer: self.authorizer.clone(), inner }
    }
}

impl<S> Service<Request<Body>> for AuthorizeService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The clone that was polled ready serves this call; the fresh one stays behind.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let authorizer = self.authorizer.clone();
        Box::pin(async move {
            // A method without a row is one that no service here has: the router answers `Unimplemented`.
            let Some(row) = row(request.uri().path()) else { return inner.call(request).await };
            let let_in = match Caller::of(request.extensions()) {
                Ok(caller) => authorizer.authorize(row, &caller).await.map(|let_in| (caller, let_in)),
                Err(status) => Err(status),
            };
            let (caller, (class, rights)) = match let_in {
                Ok(let_in) => let_in,
                Err(status) => return Ok(status.into_http()),
            };
            call_log::authorized(class);
            let deadline = request.extensions().get::<Deadline>().copied();
            let mut response = match authorizer.admit(row, caller, (class, rights), deadline).await {
                Ok(authorized) => {
                    request.extensions_mut().insert(authorized);
                    inner.call(request).await?
                }
                Err(status) => status.into_http(),
            };
            // For whoever stands in front and keeps records.
            response.extensions_mut().insert(class);
            Ok(response)
        })
    }
}

fn denied(row: &Row) -> Status {
    status::authorization_denied(row.method, None)
}

fn denied_because(row: &Row, reason: Denial) -> Status {
    status::authorization_denied(row.method, Some(reason.into()))
}

/// How long a caller may wait for the leader: an election, and a little.
const FRESH_VIEW_TIMEOUT: Duration = Duration::from_secs(3);
const PROMOTION_TIMEOUT: Duration = Duration::from_secs(5);
