//! `cluster { founder, founding_record }`: which replica may found a cluster, and where it is on record that one did.

use std::path::{Path, PathBuf};

use super::ClusterFile;
use crate::common::{absolute, given};
use crate::quote::go_quoted;
use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, DecodeError};

/// What a file says about the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundingRecordFile {
    pub kind: String,
    pub namespace: Option<String>,
    pub configmap_name: Option<String>,
    pub kubeconfig_path: Option<String>,
}

/// A ConfigMap that the founder makes, and that nobody makes twice: it survives every disk of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundingRecord {
    pub namespace: String,
    pub configmap_name: String,
    /// `None`: the Kubernetes cluster that the server itself runs in.
    pub kubeconfig_path: Option<PathBuf>,
}

impl FoundingRecordFile {
    /// An unknown kind is refused when it is resolved.
    pub(super) fn read(
        (kind, mut section): (&str, Section<'_>),
        unknown: &mut Vec<UnknownKeys>,
    ) -> Result<Self, DecodeError> {
        let mut read = Self { kind: kind.to_owned(), ..Self::default() };
        if kind == K8S_CONFIGMAP {
            read.namespace = section.text("namespace")?;
            read.configmap_name = section.text("configmap_name")?;
            read.kubeconfig_path = section.text("kubeconfig_path")?;
            section.finish(format!("cluster founding_record {kind:?}"), unknown);
        }
        Ok(read)
    }

    pub(super) fn resolve(&self, working_dir: &Path) -> Result<FoundingRecord, ConfigError> {
        if self.kind != K8S_CONFIGMAP {
            return Err(ConfigError::not_supported(
                format!("cluster.founding_record {}", go_quoted(&self.kind)),
                format!("the one kind of record is {K8S_CONFIGMAP}"),
            ));
        }
        let name = |key, written: &Option<String>| match given(written).filter(|name| is_name(name)) {
            Some(name) => Ok(name.to_owned()),
            None => Err(ConfigError::Unsafe {
                key,
                value: written.clone().unwrap_or_default(),
                safe: "write a name as Kubernetes has them: lower-case letters, digits, \"-\" and \".\"".into(),
            }),
        };
        Ok(FoundingRecord {
            namespace: name("cluster.founding_record.namespace", &self.namespace)?,
            configmap_name: name("cluster.founding_record.configmap_name", &self.configmap_name)?,
            kubeconfig_path: given(&self.kubeconfig_path).map(|path| absolute(Path::new(path), working_dir)),
        })
    }
}

/// Whether this node may found. Alone it does; with others one of them is named, by each for itself (`bootstrap`) or in
/// a file that all of them share (`founder`).
pub(super) fn may_found(file: &ClusterFile) -> Result<bool, ConfigError> {
    let refuse =
        |value: &str, safe: &str| Err(ConfigError::Unsafe { key: FOUNDER, value: value.to_owned(), safe: safe.into() });
    match (given(&file.founder), given(&file.name), file.bootstrap) {
        (None, _, bootstrap) => Ok(bootstrap.unwrap_or(file.join.is_empty())),
        (Some(founder), _, Some(_)) => {
            refuse(founder, "cluster.bootstrap says the same for this replica alone; keep one of the two")
        }
        (Some(founder), None, None) => {
            refuse(founder, "it is compared with cluster.name, which must be given: the name of this replica")
        }
        (Some(founder), Some(name), None) => Ok(founder == name),
    }
}

/// It becomes part of a path.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    text.len() <= NAME_BYTES_MAX && text.bytes().all(is_plain) && !text.starts_with(['-', '.'])
}

const FOUNDER: &str = "cluster.founder";
const K8S_CONFIGMAP: &str = "k8s_configmap";
/// Kubernetes' own.
const NAME_BYTES_MAX: usize = 253;
