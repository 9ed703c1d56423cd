//! `spire.api.server.svid.v1.SVID`.

use std::sync::Arc;

use steeple_api::convert::{id_from_wire, id_to_wire};
use steeple_api::server::svid::svid_server::Svid as SvidApi;
use steeple_api::server::svid::*;
use steeple_api::{status, types};
use steeple_ca::Csr;
use steeple_core::{Entry, SpiffeId};
use steeple_state::validate::{dns_name, no_wildcard_overlap, workload_id};
use tonic::{Code, Request, Response, Status};

use super::query::refuse_endless;
use super::shared::Shared;
use super::{audience, failure, signed};
use crate::authz::{Authorized, authorized};
use crate::cpu;
use crate::issue::{
    AgentClaim, IssueFailure, IssuedX509, WorkloadSvid, claimed, downstream_ca, jwt_svid, workload_svid,
};

pub struct SvidService {
    pub shared: Arc<Shared>,
}

/// One item of BatchNewX509SVID, checked.
struct Wanted {
    entry: Arc<Entry>,
    csr: Csr,
}

#[tonic::async_trait]
impl SvidApi for SvidService {
    async fn mint_x509svid(
        &self,
        request: Request<MintX509svidRequest>,
    ) -> Result<Response<MintX509svidResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        let (csr, id) = self.mintable(&request.csr)?;
        self.may_mint(&caller, &id).await?;
        let item = workload_svid(&WorkloadSvid {
            spiffe_id: &id,
            public_key: &csr.public_key,
            ttl_secs: i64::from(request.ttl),
            dns_names: &csr.dns_names,
            subject: csr.subject.as_ref(),
        });
        let issued = self.shared.issuer.x509(item).await.map_err(|why| outer("failed to sign X509-SVID", why))?;
        signed::minted(&id, &csr, &issued);
        Ok(Response::new(MintX509svidResponse { svid: Some(x509_to_wire(&id, issued)) }))
    }

    async fn mint_jwtsvid(
        &self,
        request: Request<MintJwtsvidRequest>,
    ) -> Result<Response<MintJwtsvidResponse>, Status> {
        self.require_jwt()?;
        let caller = authorized(&request)?;
        let request = request.into_inner();
        let id = self.workload_id(request.id.as_ref())?;
        self.may_mint(&caller, &id).await?;
        let svid = self.jwt(&id, request.audience, i64::from(request.ttl), false, None).await?;
        Ok(Response::new(MintJwtsvidResponse { svid: Some(svid) }))
    }

    async fn mint_witsvid(
        &self,
        request: Request<MintWitsvidRequest>,
    ) -> Result<Response<MintWitsvidResponse>, Status> {
        let svid = self.mint_wit(request.into_inner()).await?;
        Ok(Response::new(MintWitsvidResponse { svid: Some(svid) }))
    }

    async fn batch_new_x509svid(
        &self,
        request: Request<BatchNewX509svidRequest>,
    ) -> Result<Response<BatchNewX509svidResponse>, Status> {
        let caller = authorized(&request)?;
        let params = request.into_inner().params;
        if params.is_empty() {
            return Err(Status::invalid_argument("missing parameters"));
        }
        caller.pay_for_items(params.len()).await?;
        refuse_endless(params.len())?;
        let results = self.x509_for_agent(&caller, params).await?;
        Ok(Response::new(BatchNewX509svidResponse { results }))
    }

    async fn new_jwtsvid(&self, request: Request<NewJwtsvidRequest>) -> Result<Response<NewJwtsvidResponse>, Status> {
        let caller = authorized(&request)?;
        let svid = self.jwt_for_agent(&caller, request.into_inner()).await?;
        Ok(Response::new(NewJwtsvidResponse { svid: Some(svid) }))
    }

    async fn batch_new_witsvid(
        &self,
        request: Request<BatchNewWitsvidRequest>,
    ) -> Result<Response<BatchNewWitsvidResponse>, Status> {
        let caller = authorized(&request)?;
        let params = request.into_inner().params;
        if params.is_empty() {
            return Err(Status::invalid_argument("missing parameters"));
        }
        caller.pay_for_items(params.len()).await?;
        refuse_endless(params.len())?;
        let results = self.wit_for_agent(&caller, params).await?;
        Ok(Response::new(BatchNewWitsvidResponse { results }))
    }

    async fn new_downstream_x509ca(
        &self,
        request: Request<NewDownstreamX509caRequest>,
    ) -> Result<Response<NewDownstreamX509caResponse>, Status> {
        authorized(&request)?.downstream_id()?;
        let request = request.into_inner();
        let csr = parse_verified(&request.csr).map_err(|(what, why)| {
            Status::invalid_argument(if why.is_empty() { what.to_owned() } else { format!("{what}: {why}") })
        })?;
        let item = downstream_ca(&self.shared.trust_domain.id(), &csr.public_key, i64::from(request.preferred_ttl));
        let issued =
            self.shared.issuer.x509(item).await.map_err(|why| outer("failed to sign downstream X.509 CA", why))?;
        Ok(Response::new(NewDownstreamX509caResponse { ca_cert_chain: issued.chain, x509_authorities: issued.roots }))
    }
}

impl SvidService {
    /// One result for each of `params`, which are paid for.
    pub(super) async fn x509_for_agent(
        &self,
        caller: &Authorized,
        params: Vec<NewX509svidParams>,
    ) -> Result<Vec<batch_new_x509svid_response::Result>, Status> {
        let agent = caller.agent_id()?;
        let ids: Vec<&str> = params.iter().map(|param| param.entry_id.as_str()).collect();
        let entries = self.entries_of(agent, &ids).await?;
        let checked = check(params, entries).await?;
        Ok(self.sign_batch(agent, caller.serial(), checked).await)
    }

    /// The token is paid for.
    pub(super) async fn jwt_for_agent(
        &self,
        caller: &Authorized,
        request: NewJwtsvidRequest,
    ) -> Result<types::Jwtsvid, Status> {
        self.require_jwt()?;
        let agent = caller.agent_id()?;
        let entry = self.entry_of(agent, &request.entry_id).await?;
        let entry = entry.ok_or_else(|| Status::not_found(NOT_AUTHORIZED))?;
        let ttl = i64::from(entry.jwt_svid_ttl);
        let claim = AgentClaim { agent_id: agent, serial: caller.serial(), entry_id: &entry.id };
        let include_jti = entry.jwt_svid_include_jti;
        self.jwt(&entry.spiffe_id, request.audience, ttl, include_jti, Some(claim)).await
    }

    /// A right of its own that an ID got a moment ago counts.
    async fn may_mint(&self, caller: &Authorized, id: &SpiffeId) -> Result<(), Status> {
        let Some(rights) = caller.rights() else { return Ok(()) };
        let view = self.shared.fresh().await?;
        Ok(rights.allow_svid(&view.state(), id)?)
    }

    fn require_jwt(&self) -> Result<(), Status> {
        if self.shared.switches.jwt_svids_disabled {
            return Err(Status::unimplemented("JWT functionality is disabled"));
        }
        Ok(())
    }

    /// A CSR that may be minted as it is: one own workload ID, valid DNS names.
    fn mintable(&self, csr: &[u8]) -> Result<(Csr, SpiffeId), Status> {
        if csr.is_empty() {
            return Err(Status::invalid_argument("missing CSR"));
        }
        let csr = Csr::parse(csr).map_err(|error| Status::invalid_argument(format!("malformed CSR: {error}")))?;
        csr.verify_signature()
            .map_err(|error| Status::invalid_argument(format!("failed to verify CSR signature: {error}")))?;
        let uri = match csr.uris.as_slice() {
            [] => return Err(Status::invalid_argument("CSR URI SAN is required")),
            [uri] => uri,
            _ => return Err(Status::invalid_argument("only one URI SAN is expected")),
        };
        let bad_id = |why: String| Status::invalid_argument(format!("CSR URI SAN is invalid: {why}"));
        let id = SpiffeId::parse(uri).map_err(|error| bad_id(error.to_string()))?;
        self.check_workload(&id).map_err(bad_id)?;
        for name in &csr.dns_names {
            dns_name(name).map_err(|why| Status::invalid_argument(format!("CSR DNS name is invalid: {why}")))?;
        }
        no_wildcard_overlap(&csr.dns_names).map_err(|why| {
            let what = "CSR DNS name contains a wildcard that covers another non-wildcard name";
            Status::invalid_argument(format!("{what}: {why}"))
        })?;
        Ok((csr, id))
    }

    pub(super) fn workload_id(&self, id: Option<&types::Spiffeid>) -> Result<SpiffeId, Status> {
        let invalid = |why: String| Status::invalid_argument(format!("invalid SPIFFE ID: {why}"));
        let id = id_from_wire(id).map_err(|error| invalid(error.to_string()))?;
        self.check_workload(&id).map_err(invalid)?;
        Ok(id)
    }

    fn check_workload(&self, id: &SpiffeId) -> Result<(), String> {
        workload_id(id, &self.shared.trust_domain).map_err(|error| error.to_string())
    }

    async fn jwt(
        &self,
        id: &SpiffeId,
        audience: Vec<String>,
        ttl_secs: i64,
        include_jti: bool,
        claim: Option<AgentClaim<'_>>,
    ) -> Result<types::Jwtsvid, Status> {
        let audience = audience::checked(audience)?;
        let mut item = jwt_svid(id, audience.clone(), ttl_secs, include_jti);
        if let Some(claim) = claim {
            item = claimed(item, claim);
        }
        let issued = self.shared.issuer.jwt(item).await;
        let issued = issued.map_err(|why| outer("failed to sign JWT-SVID", why))?;
        signed::token(id, &audience, &issued);
        Ok(types::Jwtsvid {
            token: issued.token,
            id: Some(id_to_wire(id)),
            expires_at: issued.expires_at,
            issued_at: issued.issued_at,
            hint: String::new(),
        })
    }

    /// The entry of each id, if the agent may have it. An entry that this replica does not know yet may have been
    /// acknowledged elsewhere, so a miss is confirmed on a fresh view.
    pub(super) async fn entries_of(&self, agent: &SpiffeId, ids: &[&str]) -> Result<Vec<Option<Arc<Entry>>>, Status> {
        let lookup = |state: &steeple_state::State| -> Vec<Option<Arc<Entry>>> {
            ids.iter().map(|id| state.authorized_entry(agent, id).cloned()).collect()
        };
        let found = lookup(&self.shared.local().await?.state());
        let missing = ids.iter().zip(&found).any(|(id, entry)| entry.is_none() && !id.is_empty());
        if !missing {
            return Ok(found);
        }
        let view = self.shared.fresh().await?;
        let found = lookup(&view.state());
        Ok(found)
    }

    async fn entry_of(&self, agent: &SpiffeId, entry_id: &str) -> Result<Option<Arc<Entry>>, Status> {
        let known = self.shared.local().await?.state().authorized_entry(agent, entry_id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let view = self.shared.fresh().await?;
        let found = view.state().authorized_entry(agent, entry_id).cloned();
        Ok(found)
    }

    /// Signs what passed the checks as one batch and puts results into the order of the request.
    async fn sign_batch(
        &self,
        agent: &SpiffeId,
        serial: &str,
        checked: Vec<Result<Wanted, types::Status>>,
    ) -> Vec<batch_new_x509svid_response::Result> {
        let items = checked.iter().flatten().map(|Wanted { entry, csr }| {
            let item = workload_svid(&WorkloadSvid {
                spiffe_id: &entry.spiffe_id,
                public_key: &csr.public_key,
                ttl_secs: i64::from(entry.x509_svid_ttl),
                dns_names: &entry.dns_names,
                subject: None,
            });
            claimed(item, AgentClaim { agent_id: agent, serial, entry_id: &entry.id })
        });
        let mut signed = self.shared.issuer.x509_batch(items.collect()).await.into_iter();
        let results = checked.into_iter().map(|item| match item {
            Err(status) => batch_new_x509svid_response::Result { status: Some(status), svid: None },
            Ok(Wanted { entry, .. }) => match signed.next() {
                Some(Ok(issued)) => {
                    signed::for_entry(&entry, &issued);
                    batch_new_x509svid_response::Result {
                        status: Some(status::ok()),
                        svid: Some(x509_to_wire(&entry.spiffe_id, issued)),
                    }
                }
                Some(Err(why)) => {
                    let message = format!("failed to sign X509-SVID: {why}");
                    let status = failure::item_of(why.code, message);
                    batch_new_x509svid_response::Result { status: Some(status), svid: None }
                }
                None => batch_new_x509svid_response::Result {
                    status: Some(failure::item_of(Code::Internal, "no result from the signer")),
                    svid: None,
                },
            },
        });
        results.collect()
    }
}

/// Parses and verifies every CSR.
async fn check(
    params: Vec<NewX509svidParams>,
    entries: Vec<Option<Arc<Entry>>>,
) -> Result<Vec<Result<Wanted, types::Status>>, Status> {
    let count = params.len();
    let check_all =
        move || params.into_iter().zip(entries).map(|(param, entry)| check_one(&param, entry)).collect::<Vec<_>>();
    cpu::compute(count, check_all).await.map_err(|error| Status::internal(error.to_string()))
}

fn check_one(param: &NewX509svidParams, entry: Option<Arc<Entry>>) -> Result<Wanted, types::Status> {
    let invalid = |message: String| failure::item_of(Code::InvalidArgument, message);
    if param.entry_id.is_empty() {
        return Err(invalid("missing entry ID".to_owned()));
    }
    if param.csr.is_empty() {
        return Err(invalid("missing CSR".to_owned()));
    }
    let entry = entry.ok_or_else(|| failure::item_of(Code::NotFound, NOT_AUTHORIZED))?;
    let csr = parse_verified(&param.csr).map_err(|(what, why)| invalid(format!("{what}: {why}")))?;
    Ok(Wanted { entry, csr })
}

fn parse_verified(der: &[u8]) -> Result<Csr, (&'static str, String)> {
    let csr = Csr::parse(der).map_err(|error| ("malformed CSR", error.to_string()))?;
    csr.verify_signature().map_err(|error| ("invalid CSR signature", error.to_string()))?;
    Ok(csr)
}

fn x509_to_wire(id: &SpiffeId, issued: IssuedX509) -> types::X509svid {
    types::X509svid {
        cert_chain: issued.chain,
        id: Some(id_to_wire(id)),
        expires_at: issued.not_after,
        hint: String::new(),
    }
}

pub(super) fn outer(what: &str, why: IssueFailure) -> Status {
    why.outer(what).into()
}

pub(super) const NOT_AUTHORIZED: &str = "entry not found or not authorized";
