//! `spire.api.server.localauthority.v1.LocalAuthority`, for the whole cluster: there is one set of authorities.

use std::sync::Arc;

use steeple_api::server::localauthority::local_authority_server::LocalAuthority as LocalAuthorityApi;
use steeple_api::server::localauthority::*;
use steeple_ca::certificate;
use steeple_core::{Authority, AuthorityId, AuthorityKind, AuthoritySet, Timestamp, rpc_code_name};
use steeple_state::{CommandKind, Outcome, RequestId};
use tonic::{Code, Request, Response, Status};

use super::idempotency;
use super::shared::{Shared, unexpected};
use crate::authz::{Authorized, authorized};
use crate::driver::ca_log::{self, Slot};
use crate::metrics;

pub struct LocalAuthorityService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl LocalAuthorityApi for LocalAuthorityService {
    async fn get_jwt_authority_state(
        &self,
        _request: Request<GetJwtAuthorityStateRequest>,
    ) -> Result<Response<GetJwtAuthorityStateResponse>, Status> {
        self.require_jwt()?;
        let set = self.state(AuthorityKind::Jwt).await?;
        Ok(Response::new(GetJwtAuthorityStateResponse {
            active: set.active.as_ref().map(to_wire),
            prepared: set.prepared().map(to_wire),
            old: set.old().map(to_wire),
        }))
    }

    async fn prepare_jwt_authority(
        &self,
        request: Request<PrepareJwtAuthorityRequest>,
    ) -> Result<Response<PrepareJwtAuthorityResponse>, Status> {
        self.require_jwt()?;
        let prepared = self.prepare(&request, AuthorityKind::Jwt).await?;
        Ok(Response::new(PrepareJwtAuthorityResponse { prepared_authority: Some(prepared) }))
    }

    async fn activate_jwt_authority(
        &self,
        request: Request<ActivateJwtAuthorityRequest>,
    ) -> Result<Response<ActivateJwtAuthorityResponse>, Status> {
        self.require_jwt()?;
        let caller = authorized(&request)?;
        let id = request.into_inner().authority_id;
        let activated = self.activate(&caller, AuthorityKind::Jwt, id).await?;
        Ok(Response::new(ActivateJwtAuthorityResponse { activated_authority: Some(activated) }))
    }

    async fn taint_jwt_authority(
        &self,
        request: Request<TaintJwtAuthorityRequest>,
    ) -> Result<Response<TaintJwtAuthorityResponse>, Status> {
        self.require_jwt()?;
        let caller = authorized(&request)?;
        let id = request.into_inner().authority_id;
        let kind = CommandKind::TaintAuthority { kind: AuthorityKind::Jwt, id };
        let tainted = without_expiry(self.change(&caller, kind).await?);
        ca_log::changed(AuthorityKind::Jwt, &tainted.authority_id, "tainted");
        Ok(Response::new(TaintJwtAuthorityResponse { tainted_authority: Some(tainted) }))
    }

    async fn revoke_jwt_authority(
        &self,
        request: Request<RevokeJwtAuthorityRequest>,
    ) -> Result<Response<RevokeJwtAuthorityResponse>, Status> {
        self.require_jwt()?;
        let caller = authorized(&request)?;
        let id = request.into_inner().authority_id;
        let kind = CommandKind::RevokeAuthority { kind: AuthorityKind::Jwt, id };
        let revoked = without_expiry(self.change(&caller, kind).await?);
        ca_log::changed(AuthorityKind::Jwt, &revoked.authority_id, "revoked");
        Ok(Response::new(RevokeJwtAuthorityResponse { revoked_authority: Some(revoked) }))
    }

    async fn get_x509_authority_state(
        &self,
        _request: Request<GetX509AuthorityStateRequest>,
    ) -> Result<Response<GetX509AuthorityStateResponse>, Status> {
        let set = self.state(AuthorityKind::X509).await?;
        Ok(Response::new(GetX509AuthorityStateResponse {
            active: set.active.as_ref().map(to_wire),
            prepared: set.prepared().map(to_wire),
            old: set.old().map(to_wire),
        }))
    }

    async fn prepare_x509_authority(
        &self,
        request: Request<PrepareX509AuthorityRequest>,
    ) -> Result<Response<PrepareX509AuthorityResponse>, Status> {
        let prepared = self.prepare(&request, AuthorityKind::X509).await?;
        Ok(Response::new(PrepareX509AuthorityResponse { prepared_authority: Some(prepared) }))
    }

    async fn activate_x509_authority(
        &self,
        request: Request<ActivateX509AuthorityRequest>,
    ) -> Result<Response<ActivateX509AuthorityResponse>, Status> {
        let caller = authorized(&request)?;
        let id = request.into_inner().authority_id;
        let activated = self.activate(&caller, AuthorityKind::X509, id).await?;
        Ok(Response::new(ActivateX509AuthorityResponse { activated_authority: Some(activated) }))
    }

    async fn taint_x509_authority(
        &self,
        request: Request<TaintX509AuthorityRequest>,
    ) -> Result<Response<TaintX509AuthorityResponse>, Status> {
        let caller = authorized(&request)?;
        if self.shared.maker.upstream.is_some() {
            return Err(Status::failed_precondition(
                "local authority can't be tainted if there is an upstream authority",
            ));
        }
        let id = request.into_inner().authority_id;
        let kind = CommandKind::TaintAuthority { kind: AuthorityKind::X509, id };
        let tainted = self.change(&caller, kind).await?;
        ca_log::changed(AuthorityKind::X509, &tainted.authority_id, "tainted");
        Ok(Response::new(TaintX509AuthorityResponse { tainted_authority: Some(tainted) }))
    }

    async fn taint_x509_upstream_authority(
        &self,
        request: Request<TaintX509UpstreamAuthorityRequest>,
    ) -> Result<Response<TaintX509UpstreamAuthorityResponse>, Status> {
        let caller = authorized(&request)?;
        let (subject_key_id, roots) = self.upstream_roots(&request.into_inner().subject_key_id).await?;
        let kind = CommandKind::TaintUpstreamAuthority { subject_key_id, roots };
        let changed = self.change(&caller, kind).await?;
        let upstream_authority_subject_key_id = changed.authority_id;
        tracing::info!(
            subject_key_id = upstream_authority_subject_key_id,
            "X.509 upstream authority tainted successfully"
        );
        Ok(Response::new(TaintX509UpstreamAuthorityResponse { upstream_authority_subject_key_id }))
    }

    async fn revoke_x509_authority(
        &self,
        request: Request<RevokeX509AuthorityRequest>,
    ) -> Result<Response<RevokeX509AuthorityResponse>, Status> {
        let caller = authorized(&request)?;
        if self.shared.maker.upstream.is_some() {
            return Err(Status::failed_precondition(
                "local authority can't be revoked if there is an upstream authority",
            ));
        }
        let id = request.into_inner().authority_id;
        let kind = CommandKind::RevokeAuthority { kind: AuthorityKind::X509, id };
        let revoked = without_expiry(self.change(&caller, kind).await?);
        ca_log::changed(AuthorityKind::X509, &revoked.authority_id, "revoked");
        Ok(Response::new(RevokeX509AuthorityResponse { revoked_authority: Some(revoked) }))
    }

    async fn revoke_x509_upstream_authority(
        &self,
        request: Request<RevokeX509UpstreamAuthorityRequest>,
    ) -> Result<Response<RevokeX509UpstreamAuthorityResponse>, Status> {
        let caller = authorized(&request)?;
        let (subject_key_id, roots) = self.upstream_roots(&request.into_inner().subject_key_id).await?;
        let kind = CommandKind::RevokeUpstreamAuthority { subject_key_id, roots };
        let changed = self.change(&caller, kind).await?;
        let upstream_authority_subject_key_id = changed.authority_id;
        tracing::info!(
            subject_key_id = upstream_authority_subject_key_id,
            "X.509 upstream authority successfully revoked"
        );
        Ok(Response::new(RevokeX509UpstreamAuthorityResponse { upstream_authority_subject_key_id }))
    }

    async fn get_wit_authority_state(
        &self,
        _request: Request<GetWitAuthorityStateRequest>,
    ) -> Result<Response<GetWitAuthorityStateResponse>, Status> {
        Err(no_wit())
    }

    async fn prepare_wit_authority(
        &self,
        _request: Request<PrepareWitAuthorityRequest>,
    ) -> Result<Response<PrepareWitAuthorityResponse>, Status> {
        Err(no_wit())
    }

    async fn activate_wit_authority(
        &self,
        _request: Request<ActivateWitAuthorityRequest>,
    ) -> Result<Response<ActivateWitAuthorityResponse>, Status> {
        Err(no_wit())
    }

    async fn taint_wit_authority(
        &self,
        _request: Request<TaintWitAuthorityRequest>,
    ) -> Result<Response<TaintWitAuthorityResponse>, Status> {
        Err(no_wit())
    }

    async fn revoke_wit_authority(
        &self,
        _request: Request<RevokeWitAuthorityRequest>,
    ) -> Result<Response<RevokeWitAuthorityResponse>, Status> {
        Err(no_wit())
    }
}

impl LocalAuthorityService {
    fn require_jwt(&self) -> Result<(), Status> {
        if self.shared.switches.jwt_svids_disabled {
            return Err(Status::unimplemented("JWT functionality is disabled"));
        }
        Ok(())
    }

    async fn state(&self, kind: AuthorityKind) -> Result<AuthoritySet, Status> {
        let view = self.shared.fresh().await?;
        let set = view.state().authorities(kind).clone();
        if set.active.is_none() {
            return Err(Status::unavailable("server is initializing"));
        }
        Ok(set)
    }

    /// The id as it is stored, and the roots of the own bundle whose key it names.
    async fn upstream_roots(&self, subject_key_id: &str) -> Result<(String, Vec<Vec<u8>>), Status> {
        if self.shared.maker.upstream.is_none() {
            return Err(Status::failed_precondition("upstream authority is not configured"));
        }
        let subject_key_id = subject_key_id.to_lowercase();
        let named = |der: &[u8]| {
            let key_id = certificate::facts(der).and_then(|facts| facts.subject_key_id);
            key_id.is_some_and(|key_id| hex::encode(key_id) == subject_key_id)
        };
        let bundle = self.shared.fresh().await?.state().own_bundle().cloned();
        let roots = bundle.iter().flat_map(|bundle| &bundle.x509_authorities).filter(|root| named(&root.der));
        let roots = roots.map(|root| root.der.clone()).collect();
        Ok((subject_key_id, roots))
    }

    /// Another one each time (SPIRE behaviour), unless it is asked for under one idempotency key.
    async fn prepare<T>(&self, request: &Request<T>, kind: AuthorityKind) -> Result<AuthorityState, Status> {
        let caller = authorized(request)?;
        let request_id = idempotency::request_id(request, &format!("prepare {}", kind.name()))?;
        let timer = metrics::preparation(kind);
        let prepared = self.make_and_publish(&caller, kind, request_id).await;
        timer.done(rpc_code_name(prepared.as_ref().map_or_else(Status::code, |_| Code::Ok) as i32));
        prepared
    }

    async fn make_and_publish(
        &self,
        caller: &Authorized,
        kind: AuthorityKind,
        request_id: Option<RequestId>,
    ) -> Result<AuthorityState, Status> {
        if self.shared.replica.clock_may_be_ahead() {
            let why = "this server's clock is wrong, or has moved: an authority would begin at another time; retry, or \
                       ask another replica";
            return Err(Status::unavailable(why));
        }
        let made = self.shared.maker.make(self.shared.clock.now(), kind).await;
        let made = made.map_err(|error| {
            let code = if error.is_sealed() { Code::Unavailable } else { Code::Internal };
            Status::new(code, format!("failed to prepare {} authority: {error}", kind.profile()))
        })?;
        let prepared = made.authority.clone();
        let request_id = request_id.unwrap_or_else(|| *uuid::Uuid::new_v4().as_bytes());
        let done = authority_state(self.shared.propose_as(caller, made.into_command(), request_id).await?)?;
        if done.authority_id != prepared.id {
            // Somebody was faster; what was made here is in no log.
            return Ok(done);
        }
        ca_log::prepared(&prepared, Slot::Next);
        Ok(to_wire(&prepared))
    }

    async fn activate(
        &self,
        caller: &Authorized,
        kind: AuthorityKind,
        id: AuthorityId,
    ) -> Result<AuthorityState, Status> {
        let activated = self.change(caller, CommandKind::ActivateAuthority { kind, id }).await?;
        let not_after = Timestamp::from_secs(activated.expires_at);
        let (trust_domain, now) = (&self.shared.trust_domain, self.shared.clock.now());
        metrics::activated(kind, trust_domain, now, not_after);
        let now_active = self.shared.replica.state().read().active_authority(kind).cloned();
        if let Some(active) = now_active.filter(|active| active.id == activated.authority_id) {
            ca_log::activated(&active, trust_domain, now);
        }
        if self.shared.maker.upstream.is_none() || kind != AuthorityKind::X509 {
            return Ok(activated);
        }
        let active = self.state(kind).await?.active.filter(|active| active.id == activated.authority_id);
        Ok(active.as_ref().map_or(activated, to_wire))
    }

    async fn change(&self, caller: &Authorized, command: CommandKind) -> Result<AuthorityState, Status> {
        authority_state(self.shared.propose(caller, command).await?)
    }
}

fn authority_state(outcome: Outcome) -> Result<AuthorityState, Status> {
    match outcome {
        Outcome::Authority { id, not_after } => Ok(AuthorityState {
            authority_id: id,
            expires_at: not_after.as_secs(),
            upstream_authority_subject_key_id: String::new(),
        }),
        _ => Err(unexpected()),
    }
}

fn to_wire(authority: &Authority) -> AuthorityState {
    AuthorityState {
        authority_id: authority.id.clone(),
        expires_at: authority.not_after.as_secs(),
        upstream_authority_subject_key_id: authority.upstream_authority_id.clone(),
    }
}

/// JWT taint and revoke, and X.509 revoke, answer without a time (recorded SPIRE behaviour).
fn without_expiry(state: AuthorityState) -> AuthorityState {
    AuthorityState { expires_at: 0, ..state }
}

fn no_wit() -> Status {
    Status::unimplemented("WIT-SVID functionality is not yet implemented")
}
