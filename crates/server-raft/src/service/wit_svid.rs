//! WIT-SVIDs (`MintWITSVID`, `BatchNewWITSVID`), where the feature flag `wit-svid` is set.

use std::sync::Arc;

use steeple_api::convert::id_to_wire;
use steeple_api::server::svid::*;
use steeple_api::{status, types};
use steeple_ca::{HolderKey, PublicKey};
use steeple_core::{AuthorityKind, Entry, SpiffeId};
use tonic::{Code, Status};

use super::failure;
use super::svid::{NOT_AUTHORIZED, SvidService, outer};
use crate::authz::Authorized;
use crate::issue::{AgentClaim, IssuedToken, claimed, wit_svid};

/// One item of BatchNewWITSVID, checked.
struct Wanted {
    entry: Arc<Entry>,
    holder: HolderKey,
}

impl SvidService {
    pub(super) async fn mint_wit(&self, request: MintWitsvidRequest) -> Result<types::Witsvid, Status> {
        if !self.shared.switches.wit_svids {
            return Err(Status::unimplemented("WIT functionality is disabled"));
        }
        let id = self.workload_id(request.id.as_ref())?;
        let invalid = |what: &str, why: String| Status::invalid_argument(format!("{what}: {why}"));
        let key = PublicKey::from_spki(&request.public_key)
            .map_err(|error| invalid("invalid public key", error.to_string()))?;
        let holder = HolderKey::new(key, &request.signing_algorithm)
            .map_err(|error| invalid("invalid signing algorithm or key type", error.to_string()))?;
        if !self.has_wit_key() {
            return Err(Status::internal(NO_KEY));
        }
        let item = wit_svid(&id, &holder, i64::from(request.ttl));
        match self.shared.issuer.wit_batch(vec![item]).await.pop() {
            Some(issued) => Ok(to_wire(&id, issued.map_err(|why| outer("failed to sign WIT-SVID", why))?)),
            None => Err(Status::internal("no result from the signer")),
        }
    }

    /// One result for each of `params`, which are paid for.
    pub(super) async fn wit_for_agent(
        &self,
        caller: &Authorized,
        params: Vec<NewWitsvidParams>,
    ) -> Result<Vec<batch_new_witsvid_response::Result>, Status> {
        let agent = caller.agent_id()?;
        let ids: Vec<&str> = params.iter().map(|param| param.entry_id.as_str()).collect();
        let entries = self.entries_of(agent, &ids).await?;
        let has_key = self.has_wit_key();
        let check = |(param, entry): (&NewWitsvidParams, _)| {
            let wanted = check_one(param, entry)?;
            if has_key { Ok(wanted) } else { Err(failure::item_of(Code::Internal, NO_KEY)) }
        };
        let checked: Vec<_> = params.iter().zip(entries).map(check).collect();
        let items = checked.iter().flatten().map(|Wanted { entry, holder }| {
            // SPIRE has no TTL of its own for them yet.
            let item = wit_svid(&entry.spiffe_id, holder, i64::from(entry.x509_svid_ttl));
            claimed(item, AgentClaim { agent_id: agent, serial: caller.serial(), entry_id: &entry.id })
        });
        let mut signed = self.shared.issuer.wit_batch(items.collect()).await.into_iter();
        let results = checked.into_iter().map(|item| {
            let Wanted { entry, .. } = item?;
            match signed.next() {
                Some(Ok(issued)) => Ok(to_wire(&entry.spiffe_id, issued)),
                Some(Err(why)) => Err(failure::item_of(why.code, format!("failed to sign WIT-SVID: {why}"))),
                None => Err(failure::item_of(Code::Internal, "no result from the signer")),
            }
        });
        Ok(results.map(to_result).collect())
    }

    /// Without the flag, before the first key is active, and before the cluster version that has them.
    fn has_wit_key(&self) -> bool {
        let state = self.shared.replica.state().read();
        self.shared.switches.wit_svids && state.active_authority(AuthorityKind::Wit).is_some()
    }
}

fn check_one(param: &NewWitsvidParams, entry: Option<Arc<Entry>>) -> Result<Wanted, types::Status> {
    let invalid = |message: String| failure::item_of(Code::InvalidArgument, message);
    if param.entry_id.is_empty() {
        return Err(invalid("missing entry ID".to_owned()));
    }
    if param.public_key.is_empty() {
        return Err(invalid("missing public key".to_owned()));
    }
    let entry = entry.ok_or_else(|| failure::item_of(Code::NotFound, NOT_AUTHORIZED))?;
    let key =
        PublicKey::from_spki(&param.public_key).map_err(|error| invalid(format!("malformed public key: {error}")))?;
    let holder = HolderKey::new(key, &param.signing_algorithm)
        .map_err(|error| invalid(format!("invalid signing algorithm or key type: {error}")))?;
    Ok(Wanted { entry, holder })
}

/// SPIRE leaves the status of what it signed empty, although agents read it.
fn to_result(signed: Result<types::Witsvid, types::Status>) -> batch_new_witsvid_response::Result {
    match signed {
        Ok(svid) => batch_new_witsvid_response::Result { status: Some(status::ok()), svid: Some(svid) },
        Err(status) => batch_new_witsvid_response::Result { status: Some(status), svid: None },
    }
}

fn to_wire(id: &SpiffeId, issued: IssuedToken) -> types::Witsvid {
    types::Witsvid {
        token: issued.token,
        id: Some(id_to_wire(id)),
        expires_at: issued.expires_at,
        issued_at: issued.issued_at,
        ..types::Witsvid::default()
    }
}

const NO_KEY: &str = "failed to sign WIT-SVID: WIT key is not available for signing";
