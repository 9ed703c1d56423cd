//! `spire.plugin.server.credentialcomposer.v1.CredentialComposer`, as far as anybody may compose: the names in the
//! subjects of workloads' X.509-SVIDs (docs/adr/0038-names-in-subjects.md).

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use steeple_api::external::credentialcomposer::credential_composer_client::CredentialComposerClient;
use steeple_api::external::credentialcomposer::{
    AttributeTypeAndValue, ComposeWorkloadX509svidRequest, DistinguishedName, X509svidAttributes,
};
use steeple_core::plugin::{ComposeError, CredentialComposer, SubjectNames, WorkloadX509};
use steeple_transport::serve::MESSAGE_BYTES_MAX;
use tokio::runtime::Handle;
use tonic::{Code, Status};

use super::Plugin;
use super::plugin::go_text;

pub struct ExternalCredentialComposer {
    plugin: Arc<Plugin>,
    described: String,
    /// Where futures run: signatures are made where there are none.
    runtime: Handle,
    /// Set while it does not answer: a batch does not wait for it item by item.
    rests_until: Mutex<Option<Instant>>,
}

impl ExternalCredentialComposer {
    pub const INTERFACE: &'static str = "spire.plugin.server.credentialcomposer.v1.CredentialComposer";

    /// Within a runtime of several threads. `settings_hash` tells apart what other replicas may run with.
    pub fn new(plugin: Arc<Plugin>, settings_hash: &str) -> Self {
        let program = plugin.program();
        let sum = program.sha256.map_or_else(|| "any".to_owned(), hex::encode);
        let described = format!("{} (external, program {sum}, settings {settings_hash})", program.name);
        Self { plugin, described, runtime: Handle::current(), rests_until: Mutex::default() }
    }

    async fn ask(&self, request: ComposeWorkloadX509svidRequest) -> Result<Option<X509svidAttributes>, Status> {
        let mut client =
            CredentialComposerClient::new(self.plugin.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let asked = self.plugin.call("ComposeWorkloadX509SVID", client.compose_workload_x509svid(request));
        match tokio::time::timeout(COMPOSE_MAX, asked).await {
            Ok(Ok(answer)) => Ok(answer.attributes),
            // It composes something else.
            Ok(Err(status)) if status.code() == Code::Unimplemented => Ok(None),
            Ok(Err(status)) => Err(status),
            Err(_) => {
                *self.rests_until.lock() = Some(Instant::now() + REST);
                Err(self.plugin.prefixed(Code::DeadlineExceeded, "the plugin did not answer in time"))
            }
        }
    }

    fn is_resting(&self) -> bool {
        self.rests_until.lock().is_some_and(|until| Instant::now() < until)
    }
}

impl CredentialComposer for ExternalCredentialComposer {
    fn described(&self) -> String {
        self.described.clone()
    }

    fn workload_x509_names(
        &self,
        workload: &WorkloadX509<'_>,
        names: SubjectNames,
    ) -> Result<SubjectNames, ComposeError> {
        if self.is_resting() {
            let status = self.plugin.prefixed(Code::Unavailable, "the plugin has not answered a moment ago");
            return Err(ComposeError(go_text(&status)));
        }
        let request = ComposeWorkloadX509svidRequest {
            attributes: Some(attributes(workload, &names)),
            spiffe_id: workload.spiffe_id.to_string(),
            public_key: workload.public_key.to_vec(),
        };
        let answer = tokio::task::block_in_place(|| self.runtime.block_on(self.ask(request)));
        let answer = answer.map_err(|status| ComposeError(go_text(&status)))?;
        let Some(composed) = answer else { return Ok(names) };
        let Some(subject) = composed.subject else {
            let status = self.plugin.internal("plugin returned invalid X509SVID attributes: subject: cannot be empty");
            return Err(ComposeError(go_text(&status)));
        };
        Ok(names_of(subject))
    }
}

fn attributes(workload: &WorkloadX509<'_>, names: &SubjectNames) -> X509svidAttributes {
    let identifier = Some(&names.unique_identifier).filter(|identifier| !identifier.is_empty());
    let extra_names = identifier.map(|identifier| AttributeTypeAndValue {
        oid: UNIQUE_IDENTIFIER.to_owned(),
        string_value: identifier.clone(),
    });
    let subject = DistinguishedName {
        country: vec!["US".to_owned()],
        organization: vec!["SPIRE".to_owned()],
        common_name: names.common_name.clone(),
        extra_names: extra_names.into_iter().collect(),
        ..DistinguishedName::default()
    };
    X509svidAttributes { subject: Some(subject), dns_sans: workload.dns_names.to_vec(), extra_extensions: Vec::new() }
}

/// The rest is nobody's to change.
fn names_of(subject: DistinguishedName) -> SubjectNames {
    let identifier = subject.extra_names.into_iter().find(|name| name.oid == UNIQUE_IDENTIFIER);
    let unique_identifier = identifier.map(|name| name.string_value).unwrap_or_default();
    SubjectNames { common_name: subject.common_name, unique_identifier }
}

const UNIQUE_IDENTIFIER: &str = "2.5.4.45";
/// A signature takes some tens of microseconds, and somebody waits for it.
const COMPOSE_MAX: Duration = Duration::from_secs(2);
const REST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use steeple_core::SpiffeId;

    use super::*;

    #[test]
    fn names_come_back_as_they_went() {
        let id = SpiffeId::parse("spiffe://example.org/web").unwrap();
        let dns_names = ["web.test".to_owned()];
        let workload = WorkloadX509 { spiffe_id: &id, public_key: &[1], dns_names: &dns_names };
        for (common_name, unique_identifier) in [("web", "ab"), ("", "ab"), ("web", ""), ("", "")] {
            let names = SubjectNames { common_name: common_name.into(), unique_identifier: unique_identifier.into() };
            let asked = attributes(&workload, &names);
            assert_eq!(asked.dns_sans, dns_names);
            assert_eq!(names_of(asked.subject.unwrap()), names);
        }
    }
}
