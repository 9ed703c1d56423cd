//! `spire.plugin.agent.workloadattestor.v1.WorkloadAttestor`.

use std::sync::Arc;
use std::time::Duration;

use prost_types::Any;
use steeple_api::any::pack;
use steeple_api::broker::WorkloadPidReference;
use steeple_api::external::workloadattestor::workload_attestor_client::WorkloadAttestorClient;
use steeple_api::external::workloadattestor::{AttestReferenceRequest, AttestRequest};
use steeple_core::Selector;
use steeple_core::plugin::{
    BoxFuture, ReferenceError, WorkloadAttestor, WorkloadError, WorkloadProcess, WorkloadReference,
};
use steeple_transport::serve::MESSAGE_BYTES_MAX;
use tonic::transport::Channel;
use tonic::{Code, IntoRequest as _, Request, Status};

use super::Plugin;
use super::plugin::go_text;
use super::selectors::selectors;

pub struct ExternalWorkloadAttestor(pub Arc<Plugin>);

impl ExternalWorkloadAttestor {
    pub const INTERFACE: &'static str = "spire.plugin.agent.workloadattestor.v1.WorkloadAttestor";

    /// By its pid; plugins that only know references are given one that names it (SPIRE behaviour).
    async fn values(&self, pid: i32) -> Result<Vec<String>, Status> {
        match self.values_of_pid(pid).await {
            Err(status) if status.code() == Code::Unimplemented => {}
            answer => return answer,
        }
        let reference = pack(&WorkloadPidReference { pid });
        self.values_of(AttestReferenceRequest { reference: Some(reference) }.into_request()).await
    }

    async fn values_of_pid(&self, pid: i32) -> Result<Vec<String>, Status> {
        let mut client = self.client();
        let asked = self.0.call("Attest", client.attest(AttestRequest { pid })).await;
        asked.map(|answer| answer.selector_values)
    }

    async fn values_of(&self, request: Request<AttestReferenceRequest>) -> Result<Vec<String>, Status> {
        let mut client = self.client();
        let asked = self.0.call("AttestReference", client.attest_reference(request)).await;
        asked.map(|answer| answer.selector_values)
    }

    fn client(&self) -> WorkloadAttestorClient<Channel> {
        WorkloadAttestorClient::new(self.0.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn selectors(&self, values: Vec<String>) -> Result<Vec<Selector>, String> {
        selectors(self.name(), values)
            .map_err(|error| self.0.program().prefixed(&format!("the plugin gave an unusable selector: {error}")))
    }
}

impl WorkloadAttestor for ExternalWorkloadAttestor {
    fn name(&self) -> &str {
        &self.0.program().name
    }

    fn attest<'a>(&'a self, process: WorkloadProcess) -> BoxFuture<'a, Result<Vec<Selector>, WorkloadError>> {
        Box::pin(async move {
            let values = self.values(process.pid).await;
            let values = values.map_err(|status| WorkloadError(go_text(&status)))?;
            self.selectors(values).map_err(WorkloadError)
        })
    }

    /// The plugin is told whose reference it is (SPIRE behaviour).
    fn attest_reference<'a>(
        &'a self,
        reference: &'a WorkloadReference,
    ) -> BoxFuture<'a, Result<Vec<Selector>, ReferenceError>> {
        Box::pin(async move {
            let WorkloadReference { type_url, value, caller } = reference;
            let reference = Any { type_url: type_url.clone(), value: value.clone() };
            let mut request = AttestReferenceRequest { reference: Some(reference) }.into_request();
            if let Ok(caller) = caller.as_str().parse() {
                request.metadata_mut().insert(CALLER, caller);
            }
            let values = self.values_of(request).await.map_err(|status| match status.code() {
                Code::Unimplemented => ReferenceError::Unread,
                code => ReferenceError::Refused { code: code as i32, message: go_text(&status) },
            })?;
            let unusable = |message| ReferenceError::Refused { code: Code::Internal as i32, message };
            self.selectors(values).map_err(unusable)
        })
    }

    /// The plugin's own bound comes first, and says which call it was.
    fn answer_time_max(&self) -> Duration {
        self.0.call_time_max() * 2 + Duration::from_secs(1)
    }
}

/// Metadata that names the broker.
const CALLER: &str = "spire-agent-broker-caller-id";
