//! `cluster { founding_record "k8s_configmap" { } }`: a ConfigMap that is made once. The API server lets one of any
//! number of makers win, and what it stored is there whatever becomes of the servers' disks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Error};

use crate::kubernetes::{ApiServer, AskError, shortened};

pub struct FoundingConfigMap {
    namespace: String,
    name: String,
    api: ApiServer,
}

/// Who stands on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnRecord {
    /// The one who asks, now or by an earlier claim.
    Ours,
    /// A cluster was founded, or is being founded, by a replica of this name.
    Another { founder: String },
}

/// Why nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the founding record, ConfigMap {namespace}/{name}, cannot be asked: {why}")]
pub struct RecordError {
    namespace: String,
    name: String,
    why: String,
}

impl FoundingConfigMap {
    /// Without a kubeconfig file it is in the Kubernetes cluster that the server itself runs in.
    pub fn new(namespace: String, name: String, kubeconfig_path: Option<PathBuf>) -> Self {
        Self { namespace, name, api: ApiServer::new(kubeconfig_path) }
    }

    /// Puts `founder` on record under `claim`, unless somebody is. Who repeats a claim has it.
    pub async fn claim(&self, founder: &str, claim: &str) -> Result<OnRecord, RecordError> {
        let wanted = ConfigMap {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(FOUNDER, founder), (CLAIM, claim)].map(owned))),
            // Whoever wants another trust domain has to delete it, which nobody does by mistake with an editor.
            immutable: Some(true),
            ..ConfigMap::default()
        };
        let held = self.api.ask(async |client| {
            let config_maps = Api::<ConfigMap>::namespaced(client, &self.namespace);
            match config_maps.create(&PostParams::default(), &wanted).await {
                Err(Error::Api(status)) if status.code == CONFLICT => config_maps.get(&self.name).await,
                created => created,
            }
        });
        let held = held.await.map_err(|error| {
            let why = match error {
                AskError::Config(why) | AskError::Answer(why) => why,
            };
            RecordError { namespace: self.namespace.clone(), name: self.name.clone(), why }
        })?;
        let says = |key| held.data.as_ref().and_then(|data| data.get(key)).map(String::as_str).unwrap_or_default();
        Ok(match says(CLAIM) == claim {
            true => OnRecord::Ours,
            false => OnRecord::Another { founder: shortened(says(FOUNDER)) },
        })
    }
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

const FOUNDER: &str = "founder";
const CLAIM: &str = "claim";
const CONFLICT: u16 = 409;
