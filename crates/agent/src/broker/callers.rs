//! Who calls, and whom it may refer to.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost_types::Any;
use steeple_config::ReferenceTypes;
use steeple_core::plugin::WorkloadReference;
use steeple_core::{Clock, SpiffeId};
use steeple_transport::tls::{PeerIdentity, TlsPeer};
use tonic::{Request, Status};

/// How a broker reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Uds,
}

/// The brokers of the configuration, on one listener.
pub struct Callers {
    pub brokers: Arc<BTreeMap<SpiffeId, ReferenceTypes>>,
    pub transport: Transport,
    pub clock: Arc<dyn Clock>,
}

/// A broker whose certificate was good at the handshake.
#[derive(Clone, Debug)]
pub struct Caller {
    pub id: SpiffeId,
    identity: Arc<PeerIdentity>,
}

impl Callers {
    pub fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let peer = request.extensions().get::<TlsPeer>();
        let known = peer.and_then(|peer| Some((peer.spiffe_id()?.clone(), Arc::clone(peer.identity.as_ref()?))));
        let (id, identity) = known.ok_or_else(|| Status::unauthenticated("unable to determine caller identity"))?;
        let caller = Caller { id, identity };
        self.check(&caller)?;
        Ok(caller)
    }

    /// Connections outlive certificates.
    pub fn check(&self, caller: &Caller) -> Result<(), Status> {
        if self.clock.now() < caller.identity.not_after {
            return Ok(());
        }
        Err(Status::unauthenticated(format!("the X.509-SVID of {} has expired: connect again", caller.id)))
    }

    /// The reference, where this broker may use its kind here.
    pub fn reference(&self, caller: Caller, reference: Option<Any>) -> Result<WorkloadReference, Status> {
        let given = reference.filter(|reference| !reference.type_url.is_empty());
        let Some(Any { type_url, value }) = given else {
            return Err(Status::invalid_argument("workload reference must be provided"));
        };
        let (id, kind) = (caller.id.as_str(), &type_url);
        match (self.brokers.get(&caller.id).and_then(|types| types.over_tcp(kind)), self.transport) {
            (None, _) => {
                let text = format!("broker {id:?} is not allowed to use reference type {kind:?}");
                Err(Status::permission_denied(text))
            }
            (Some(false), Transport::Tcp) => {
                let text = format!("reference type {kind:?} is not allowed over TCP for broker {id:?}");
                Err(Status::permission_denied(text))
            }
            (Some(_), _) => Ok(WorkloadReference { type_url, value, caller: caller.id }),
        }
    }
}
