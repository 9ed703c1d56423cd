//! `steeple.server.v1.Import`: records and authorities of another server, from the admin socket alone.

use std::sync::Arc;

use steeple_api::steeple::server::import_server::Import as ImportApi;
use steeple_api::steeple::server::{
    self as pb, ImportAuthorityRequest, ImportAuthorityResponse, ImportRecordsRequest, ImportRecordsResponse,
};
use steeple_core::{AuthorityKind, AuthorityStatus, Bundle};
use steeple_state::limits::IMPORT_RECORDS_MAX;
use steeple_state::{CommandKind, ImportRecord, ImportResult, Outcome};
use tonic::{Request, Response, Status};

use super::shared::{Shared, unexpected};
use crate::authz::{Authorized, authorized};
use crate::import::authority::{Adopted, adopted, judge};
use crate::import::wire::{record_from_wire, result_to_wire};

pub struct ImportService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl ImportApi for ImportService {
    async fn records(&self, request: Request<ImportRecordsRequest>) -> Result<Response<ImportRecordsResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        self.check_trust_domain(&request.trust_domain)?;
        if request.records.len() > IMPORT_RECORDS_MAX {
            return Err(Status::invalid_argument(format!("more than {IMPORT_RECORDS_MAX} records in one request")));
        }
        let (records, mut results) = self.readable(request.records);
        let judged = match request.dry_run {
            true => {
                let view = self.shared.fresh().await?;
                let state = view.state();
                records.iter().map(|record| state.import_result(record)).collect()
            }
            false => match self.shared.propose(&caller, CommandKind::Import { records }).await? {
                Outcome::Imported(judged) => judged,
                _ => return Err(unexpected()),
            },
        };
        let mut judged = judged.into_iter();
        for result in results.iter_mut().filter(|result| result.is_none()) {
            *result = judged.next();
        }
        let results = results.into_iter().flatten().map(result_to_wire).collect();
        Ok(Response::new(ImportRecordsResponse { results }))
    }

    async fn authority(
        &self,
        request: Request<ImportAuthorityRequest>,
    ) -> Result<Response<ImportAuthorityResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        self.check_trust_domain(&request.trust_domain)?;
        let dry_run = request.dry_run;
        let adopted = adopted(request, &self.shared.trust_domain);
        let adopted = adopted.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let result = self.judge(&adopted).await?;
        if !dry_run && result == ImportResult::Created {
            self.take_over(&caller, adopted).await?;
        }
        Ok(Response::new(ImportAuthorityResponse { result: Some(result_to_wire(result)) }))
    }
}

impl ImportService {
    fn check_trust_domain(&self, found: &str) -> Result<(), Status> {
        let own = self.shared.trust_domain.name();
        if found == own {
            return Ok(());
        }
        let message = format!("the records are of trust domain {found:?}, this server of {own:?}");
        Err(Status::failed_precondition(message))
    }

    /// The records that can be read, and a result in the place of each that cannot.
    fn readable(&self, records: Vec<pb::ImportRecord>) -> (Vec<ImportRecord>, Vec<Option<ImportResult>>) {
        let mut readable = Vec::with_capacity(records.len());
        let results = records.into_iter().map(|record| match record_from_wire(&self.shared.trust_domain, record) {
            Ok(record) => {
                readable.push(record);
                None
            }
            Err(error) => Some(ImportResult::Refused(error.message)),
        });
        let results = results.collect();
        (readable, results)
    }

    async fn judge(&self, adopted: &Adopted) -> Result<ImportResult, Status> {
        let authority = &adopted.authority;
        if authority.kind == AuthorityKind::Jwt && self.shared.switches.jwt_svids_disabled {
            return Ok(ImportResult::Refused("disable_jwt_svids is set here".to_owned()));
        }
        let view = self.shared.fresh().await?;
        let state = view.state();
        let own = state.own_bundle().map(|bundle| &**bundle);
        Ok(judge(authority, state.authorities(authority.kind), own, self.shared.clock.now()))
    }

    /// In two steps, each of which is there to stay: an import that breaks off between them goes on when repeated.
    async fn take_over(&self, caller: &Authorized, adopted: Adopted) -> Result<(), Status> {
        let Adopted { authority, pkcs8 } = adopted;
        let (kind, id, active) = (authority.kind, authority.id.clone(), authority.status == AuthorityStatus::Active);
        let (is_prepared, roots) = {
            let view = self.shared.fresh().await?;
            let state = view.state();
            let is_prepared = state.authorities(kind).prepared().is_some_and(|prepared| prepared.id == id);
            (is_prepared, state.own_bundle().map_or_else(Vec::new, |own| good_roots(own)))
        };
        if !is_prepared {
            // A root publishes itself; what stands above others came with the bundle.
            let above = !authority.upstream_authority_id.is_empty();
            let made = self.shared.maker.adopt(authority, &pkcs8, if above { roots } else { Vec::new() });
            let made = made.map_err(|error| Status::internal(format!("the key cannot be sealed: {error}")))?;
            self.shared.propose(caller, made.into_command()).await?;
        }
        if active {
            self.shared.propose(caller, CommandKind::ActivateAuthority { kind, id: id.clone() }).await?;
        }
        tracing::info!(kind = kind.name(), local_authority_id = id, active, "Signing authority imported");
        Ok(())
    }
}

fn good_roots(own: &Bundle) -> Vec<Vec<u8>> {
    own.x509_authorities.iter().filter(|root| !root.tainted).map(|root| root.der.clone()).collect()
}
