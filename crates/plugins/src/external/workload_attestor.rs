//! `spire.plugin.agent.workloadattestor.v1.WorkloadAttestor`.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use prost_types::Any;
use steeple_api::external::workloadattestor::workload_attestor_client::WorkloadAttestorClient;
use steeple_api::external::workloadattestor::{AttestReferenceRequest, AttestRequest};
use steeple_core::Selector;
use steeple_core::plugin::{BoxFuture, WorkloadAttestor, WorkloadError, WorkloadProcess};
use steeple_transport::serve::MESSAGE_BYTES_MAX;
use tonic::{Code, Status};

use super::Plugin;
use super::selectors::selectors;

pub struct ExternalWorkloadAttestor(pub Arc<Plugin>);

impl ExternalWorkloadAttestor {
    pub const INTERFACE: &'static str = "spire.plugin.agent.workloadattestor.v1.WorkloadAttestor";

    /// By its pid; plugins that only know references are given one that names it (SPIRE behaviour).
    async fn values(&self, pid: i32) -> Result<Vec<String>, Status> {
        let plugin = &self.0;
        let mut client = WorkloadAttestorClient::new(plugin.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        match plugin.call("Attest", client.attest(AttestRequest { pid })).await {
            Err(status) if status.code() == Code::Unimplemented => {}
            answer => return answer.map(|answer| answer.selector_values),
        }
        let value = PidReference { pid }.encode_to_vec();
        let reference = Some(Any { type_url: PID_REFERENCE.to_owned(), value });
        let asked = client.attest_reference(AttestReferenceRequest { reference });
        plugin.call("AttestReference", asked).await.map(|answer| answer.selector_values)
    }
}

impl WorkloadAttestor for ExternalWorkloadAttestor {
    fn name(&self) -> &str {
        &self.0.program().name
    }

    fn attest<'a>(&'a self, process: WorkloadProcess) -> BoxFuture<'a, Result<Vec<Selector>, WorkloadError>> {
        Box::pin(async move {
            let values = self.values(process.pid).await;
            let values = values.map_err(|status| WorkloadError(super::plugin::go_text(&status)))?;
            selectors(self.name(), values).map_err(|error| {
                WorkloadError(self.0.program().prefixed(&format!("the plugin gave an unusable selector: {error}")))
            })
        })
    }

    /// The plugin's own bound comes first, and says which call it was.
    fn answer_time_max(&self) -> Duration {
        self.0.call_time_max() * 2 + Duration::from_secs(1)
    }
}

/// `spiffe.broker.WorkloadPIDReference` of the SPIFFE Broker API.
#[derive(Clone, PartialEq, prost::Message)]
struct PidReference {
    #[prost(int32, tag = "1")]
    pid: i32,
}

const PID_REFERENCE: &str = "type.googleapis.com/spiffe.broker.WorkloadPIDReference";
