//! What a plugin may ask of us.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use steeple_api::external::agentstore::agent_store_server::{AgentStore, AgentStoreServer};
use steeple_api::external::agentstore::{AgentInfo, GetAgentInfoRequest, GetAgentInfoResponse};
use steeple_api::external::identityprovider::identity_provider_server::{IdentityProvider, IdentityProviderServer};
use steeple_api::external::identityprovider::{FetchX509IdentityRequest, FetchX509IdentityResponse, X509Identity};
use steeple_api::external::metrics as wire;
use steeple_api::external::metrics::metrics_server::MetricsServer;
use steeple_core::{Bundle, Secret};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::bounds::{METRIC_PARTS_MAX, METRIC_SERIES_BYTES_MAX, METRIC_SERIES_MAX};
use super::bundle_publisher::bundle_to_wire;

/// All that one program offers its plugins. Cheap to clone.
#[derive(Clone, Default)]
pub struct HostServices {
    /// A server's; an agent has none.
    pub server: Option<ServerAnswers>,
}

/// Both say `None` until there is somebody to ask.
#[derive(Clone)]
pub struct ServerAnswers {
    /// What the server shows in handshakes, and its bundle.
    pub identity: Arc<dyn Fn() -> Option<HostIdentity> + Send + Sync>,
    /// Whether an agent with this ID has attested.
    pub has_agent: AgentLookup,
}

/// From an agent's ID.
pub type AgentLookup = Arc<dyn Fn(&str) -> Option<bool> + Send + Sync>;

/// A server's X.509-SVID with its private key, which SPIRE gives to plugins too.
pub struct HostIdentity {
    /// DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 DER.
    pub key: Secret,
    pub bundle: Bundle,
}

/// Metrics under names of the plugin's own.
#[derive(Clone, Default)]
pub struct Metrics {
    known: Arc<Mutex<BTreeSet<String>>>,
}

impl HostServices {
    /// As a plugin is told them at its start.
    pub(super) fn names(&self) -> Vec<String> {
        let of_server: &[&str] = if self.server.is_some() { &[IDENTITY_PROVIDER, AGENT_STORE] } else { &[] };
        of_server.iter().chain(&[METRICS]).map(|&name| name.to_owned()).collect()
    }

    pub(super) fn routes(&self) -> Routes {
        let mut routes = Routes::builder();
        routes.add_service(MetricsServer::new(Metrics::default()));
        if let Some(server) = &self.server {
            routes.add_service(IdentityProviderServer::new(server.clone()));
            routes.add_service(AgentStoreServer::new(server.clone()));
        }
        routes.routes()
    }
}

#[tonic::async_trait]
impl IdentityProvider for ServerAnswers {
    async fn fetch_x509_identity(
        &self,
        _: Request<FetchX509IdentityRequest>,
    ) -> Result<Response<FetchX509IdentityResponse>, Status> {
        let Some(HostIdentity { chain, key, bundle }) = (self.identity)() else {
            return Err(Status::failed_precondition("IdentityProvider host service has not been initialized"));
        };
        let identity = X509Identity { cert_chain: chain, private_key: key.expose().to_vec() };
        let (identity, bundle) = (Some(identity), Some(bundle_to_wire(&bundle)));
        Ok(Response::new(FetchX509IdentityResponse { identity, bundle }))
    }
}

#[tonic::async_trait]
impl AgentStore for ServerAnswers {
    async fn get_agent_info(
        &self,
        request: Request<GetAgentInfoRequest>,
    ) -> Result<Response<GetAgentInfoResponse>, Status> {
        let agent_id = request.into_inner().agent_id;
        match (self.has_agent)(&agent_id) {
            None => Err(Status::failed_precondition("AgentStore host service has not been initialized")),
            Some(false) => Err(Status::not_found("no such agent")),
            Some(true) => Ok(Response::new(GetAgentInfoResponse { info: Some(AgentInfo { agent_id }) })),
        }
    }
}

impl Metrics {
    /// The name and the labels, unless they are too long, or the plugin has made up too many.
    fn series(&self, key: &[String], labels: Vec<wire::Label>) -> Option<(String, Vec<metrics::Label>)> {
        if key.is_empty() || key.len() > METRIC_PARTS_MAX || labels.len() > METRIC_PARTS_MAX {
            return None;
        }
        let of_labels = labels.iter().map(|label| label.name.len() + label.value.len() + 2);
        let of_key = key.iter().map(|part| part.len() + 1);
        if of_key.chain(of_labels).sum::<usize>() > METRIC_SERIES_BYTES_MAX {
            return None;
        }
        let name = key.join(".");
        let labels: Vec<metrics::Label> =
            labels.into_iter().map(|label| metrics::Label::new(label.name, label.value)).collect();
        let mut series = name.clone();
        for label in &labels {
            series = format!("{series}\0{}\0{}", label.key(), label.value());
        }
        let mut known = self.known.lock();
        if !known.contains(&series) {
            if known.len() >= METRIC_SERIES_MAX {
                return None;
            }
            known.insert(series);
            if known.len() == METRIC_SERIES_MAX {
                tracing::warn!(series_max = METRIC_SERIES_MAX, "a plugin makes up too many metrics; no more are kept");
            }
        }
        Some((name, labels))
    }
}

#[tonic::async_trait]
impl wire::metrics_server::Metrics for Metrics {
    async fn set_gauge(&self, request: Request<wire::SetGaugeRequest>) -> Result<Response<()>, Status> {
        let wire::SetGaugeRequest { key, val, labels } = request.into_inner();
        if let Some((name, labels)) = self.series(&key, labels) {
            metrics::gauge!(name, labels).set(f64::from(val));
        }
        Ok(Response::new(()))
    }

    /// Prometheus knows no such thing (SPIRE behaviour).
    async fn emit_key(&self, _: Request<wire::EmitKeyRequest>) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }

    async fn incr_counter(&self, request: Request<wire::IncrCounterRequest>) -> Result<Response<()>, Status> {
        let wire::IncrCounterRequest { key, val, labels } = request.into_inner();
        if let Some((name, labels)) = self.series(&key, labels) {
            // Counters are whole here; what is negative or no number adds nothing.
            metrics::counter!(name, labels).increment(val.max(0.0) as u64);
        }
        Ok(Response::new(()))
    }

    async fn add_sample(&self, request: Request<wire::AddSampleRequest>) -> Result<Response<()>, Status> {
        let wire::AddSampleRequest { key, val, labels } = request.into_inner();
        if let Some((name, labels)) = self.series(&key, labels) {
            metrics::histogram!(name, labels).record(f64::from(val));
        }
        Ok(Response::new(()))
    }

    async fn measure_since(&self, request: Request<wire::MeasureSinceRequest>) -> Result<Response<()>, Status> {
        let wire::MeasureSinceRequest { key, time, labels } = request.into_inner();
        if let Some((name, labels)) = self.series(&key, labels) {
            metrics::histogram!(name, labels).record(millis_since(time, SystemTime::now()));
        }
        Ok(Response::new(()))
    }
}

/// Since `unix_nanos`; 0 for what lies ahead.
fn millis_since(unix_nanos: i64, now: SystemTime) -> f64 {
    let then = UNIX_EPOCH + Duration::from_nanos(u64::try_from(unix_nanos).unwrap_or_default());
    now.duration_since(then).unwrap_or_default().as_secs_f64() * 1000.0
}

const AGENT_STORE: &str = "spire.hostservice.server.agentstore.v1.AgentStore";
const IDENTITY_PROVIDER: &str = "spire.hostservice.server.identityprovider.v1.IdentityProvider";
const METRICS: &str = "spire.hostservice.common.metrics.v1.Metrics";

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str, value: &str) -> wire::Label {
        wire::Label { name: name.into(), value: value.into() }
    }

    #[test]
    fn names_are_made_up_within_a_bound() {
        let metrics = Metrics::default();
        let key = ["a".to_owned(), "b".to_owned()];
        for n in 0..METRIC_SERIES_MAX {
            assert!(metrics.series(&key, vec![label("n", &n.to_string())]).is_some());
        }
        assert!(metrics.series(&key, vec![label("n", "more")]).is_none());
        let (name, _) = metrics.series(&key, vec![label("n", "0")]).expect("it is known");
        assert_eq!(name, "a.b");
        assert!(metrics.series(&[], Vec::new()).is_none());
        let long = "x".repeat(METRIC_SERIES_BYTES_MAX);
        let metrics = Metrics::default();
        assert!(metrics.series(std::slice::from_ref(&long), Vec::new()).is_none());
        assert!(metrics.series(&key, vec![label("n", &long)]).is_none());
        assert!(metrics.series(&key, vec![label("n", &long[4 * key.len()..])]).is_some());
    }

    #[test]
    fn times_are_milliseconds() {
        let now = UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(millis_since(1_000_000_000, now), 500.0);
        assert_eq!((millis_since(2_000_000_000, now), millis_since(-1, UNIX_EPOCH)), (0.0, 0.0));
    }

    #[tokio::test]
    async fn a_server_that_is_not_ready_says_so() {
        let answers = ServerAnswers { identity: Arc::new(|| None), has_agent: Arc::new(|_| None) };
        let refused = answers.fetch_x509_identity(Request::new(FetchX509IdentityRequest {})).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        let unknown = ServerAnswers { has_agent: Arc::new(|id| Some(id == "known")), ..answers };
        let ask = |agent_id: &str| Request::new(GetAgentInfoRequest { agent_id: agent_id.into() });
        assert_eq!(unknown.get_agent_info(ask("x")).await.unwrap_err().code(), tonic::Code::NotFound);
        assert!(unknown.get_agent_info(ask("known")).await.is_ok());
    }
}
