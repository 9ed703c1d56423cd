//! What a broker refers to: a process of this node, or a pod by name, UID or both. Pure; texts and codes are SPIRE's.

use std::collections::BTreeSet;
use std::sync::Arc;

use prost::{Message as _, Name as _};
use steeple_api::broker::{KubernetesObjectKey, KubernetesObjectReference, KubernetesObjectType, WorkloadPidReference};
use steeple_core::SpiffeId;
use steeple_core::plugin::WorkloadReference;
use tonic::Code;

use super::pod::{Pod, PodList};
use super::{K8sError, KubeletError};

/// Why a reference has no selectors.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReferenceRefusal {
    #[error("broker configuration missing")]
    NoBrokers,
    #[error("broker {:?} is not configured", .0.as_str())]
    UnknownBroker(SpiffeId),
    #[error("unable to unmarshal {what} reference: {error}")]
    Unreadable { what: &'static str, error: prost::DecodeError },
    #[error("unsupported reference type: {0}")]
    UnknownType(String),
    #[error("object reference is missing type")]
    NoType,
    #[error("object reference type is missing plural")]
    NoPlural,
    #[error("object reference type is missing group")]
    NoGroup,
    #[error("object reference is missing key and UID")]
    NoKey,
    #[error("object reference key is missing name")]
    NoName,
    #[error("namespace is required when name is set for a namespaced resource")]
    NoNamespace,
    /// Ours: SPIRE asks the API server for them.
    #[error("Kubernetes resource {plural}.{group} cannot be referred to here: only pods.core")]
    NoPod { plural: String, group: String },
    #[error("pod {namespace}/{name} not found on agent node")]
    NotHere { namespace: String, name: String },
    #[error("pod with UID {0} not found on agent node")]
    UidNotHere(String),
    #[error("pod {namespace}/{name} has UID {found}, expected {expected}")]
    OtherUid { namespace: String, name: String, found: String, expected: String },
    /// Ours: SPIRE takes either.
    #[error("two pods are listed as {namespace}/{name}: refer to one by its UID")]
    TwoPods { namespace: String, name: String },
    #[error("{0}")]
    Kubelet(Arc<KubeletError>),
    #[error("{0}")]
    Attestation(#[from] K8sError),
    #[error("unable to check Kubernetes authorization for broker: {0}")]
    Review(String),
    #[error("Kubernetes authorizer does not allow the broker to use impersonate-via-spire for the referenced object")]
    NotAllowed,
}

/// What can be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Referent {
    Process(i32),
    Pod(PodReference),
}

/// At least one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodReference {
    name: Option<(String, String)>,
    uid: Option<String>,
}

/// Whether `caller` may refer to anything here.
pub(super) fn check_broker(brokers: &BTreeSet<SpiffeId>, caller: &SpiffeId) -> Result<(), ReferenceRefusal> {
    if brokers.contains(caller) { Ok(()) } else { Err(ReferenceRefusal::UnknownBroker(caller.clone())) }
}

impl Referent {
    pub(super) fn read(reference: &WorkloadReference) -> Result<Self, ReferenceRefusal> {
        let (type_url, value) = (&reference.type_url, reference.value.as_slice());
        if *type_url == WorkloadPidReference::type_url() {
            let unreadable = |error| ReferenceRefusal::Unreadable { what: "PID", error };
            return Ok(Self::Process(WorkloadPidReference::decode(value).map_err(unreadable)?.pid));
        }
        if *type_url == KubernetesObjectReference::type_url() {
            let unreadable = |error| ReferenceRefusal::Unreadable { what: "object", error };
            let object = KubernetesObjectReference::decode(value).map_err(unreadable)?;
            return Ok(Self::Pod(PodReference::of(object)?));
        }
        Err(ReferenceRefusal::UnknownType(type_url.clone()))
    }
}

impl PodReference {
    fn of(object: KubernetesObjectReference) -> Result<Self, ReferenceRefusal> {
        let KubernetesObjectType { plural, group } = object.r#type.ok_or(ReferenceRefusal::NoType)?;
        if plural.is_empty() {
            return Err(ReferenceRefusal::NoPlural);
        }
        if group.is_empty() {
            return Err(ReferenceRefusal::NoGroup);
        }
        let uid = Some(object.uid).filter(|uid| !uid.is_empty());
        let name = match object.key {
            None if uid.is_none() => return Err(ReferenceRefusal::NoKey),
            None => None,
            Some(KubernetesObjectKey { name, .. }) if name.is_empty() => return Err(ReferenceRefusal::NoName),
            Some(KubernetesObjectKey { namespace, name }) => Some((namespace, name)),
        };
        if (plural.as_str(), group.as_str()) != ("pods", "core") {
            return Err(ReferenceRefusal::NoPod { plural, group });
        }
        match &name {
            Some((namespace, _)) if namespace.is_empty() => Err(ReferenceRefusal::NoNamespace),
            _ => Ok(Self { name, uid }),
        }
    }

    /// The one pod of this node that it means.
    pub(super) fn find<'l>(&self, list: &'l PodList) -> Result<&'l Pod, ReferenceRefusal> {
        let by_uid = self.uid.as_ref().and_then(|uid| list.pods.get(uid));
        let Some((namespace, name)) = self.name.clone() else {
            return by_uid.ok_or_else(|| ReferenceRefusal::UidNotHere(self.uid.clone().unwrap_or_default()));
        };
        let bears = |pod: &&Pod| pod.metadata.namespace == namespace && pod.metadata.name == name;
        if let Some(pod) = by_uid.filter(bears) {
            return Ok(pod);
        }
        let mut named = list.pods.values().filter(bears);
        match (named.next(), named.next(), self.uid.clone()) {
            (None, ..) => Err(ReferenceRefusal::NotHere { namespace, name }),
            (Some(pod), _, Some(expected)) => {
                let found = pod.metadata.uid.clone();
                Err(ReferenceRefusal::OtherUid { namespace, name, found, expected })
            }
            // One that is being replaced may still be listed: which of the two it is decides about its labels.
            (Some(_), Some(_), None) => Err(ReferenceRefusal::TwoPods { namespace, name }),
            (Some(pod), None, None) => Ok(pod),
        }
    }
}

impl ReferenceRefusal {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::NoBrokers | Self::Review(_) => Code::Internal,
            Self::UnknownBroker(_) | Self::NotAllowed => Code::PermissionDenied,
            Self::Unreadable { .. }
            | Self::UnknownType(_)
            | Self::NoType
            | Self::NoPlural
            | Self::NoGroup
            | Self::NoKey
            | Self::NoName
            | Self::NoNamespace
            | Self::NoPod { .. } => Code::InvalidArgument,
            Self::NotHere { .. } | Self::UidNotHere(_) | Self::OtherUid { .. } => Code::NotFound,
            Self::TwoPods { .. } => Code::FailedPrecondition,
            Self::Kubelet(_) => Code::Unavailable,
            Self::Attestation(error) => match error {
                K8sError::Kubelet(_) | K8sError::Stopped => Code::Unavailable,
                K8sError::NotListed { .. } => Code::DeadlineExceeded,
                K8sError::Locate(_) => Code::FailedPrecondition,
                K8sError::Refused(_) => Code::PermissionDenied,
                K8sError::TwoPods | K8sError::NamespaceLabels { .. } => Code::Internal,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"items": [
        {"metadata": {"name": "web", "namespace": "shop", "uid": "u1"}},
        {"metadata": {"name": "web", "namespace": "bank", "uid": "u2"}},
        {"metadata": {"name": "db", "namespace": "shop", "uid": "u3"}},
        {"metadata": {"name": "db", "namespace": "shop", "uid": "u4"}}
    ]}"#;

    fn reference(type_url: &str, value: Vec<u8>) -> WorkloadReference {
        let caller = SpiffeId::parse("spiffe://example.org/broker").unwrap();
        WorkloadReference { type_url: type_url.to_owned(), value, caller }
    }

    fn object(plural: &str, group: &str, key: Option<(&str, &str)>, uid: &str) -> KubernetesObjectReference {
        KubernetesObjectReference {
            r#type: Some(KubernetesObjectType { plural: plural.to_owned(), group: group.to_owned() }),
            key: key.map(|(namespace, name)| KubernetesObjectKey {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            uid: uid.to_owned(),
        }
    }

    /// The UID of the pod that is meant, or why there is none.
    fn found(object: &KubernetesObjectReference) -> Result<String, (Code, String)> {
        let list = PodList::parse(LIST.as_bytes()).unwrap();
        let read = Referent::read(&reference(&KubernetesObjectReference::type_url(), object.encode_to_vec()));
        let found = read.and_then(|referent| match referent {
            Referent::Pod(wanted) => Ok(wanted.find(&list)?.metadata.uid.clone()),
            Referent::Process(pid) => panic!("{pid}"),
        });
        found.map_err(|refusal| (refusal.code(), refusal.to_string()))
    }

    #[test]
    fn a_pod_is_found_by_its_name_its_uid_or_both() {
        let pod = |key, uid| found(&object("pods", "core", key, uid));
        assert_eq!(pod(Some(("shop", "web")), ""), Ok("u1".to_owned()));
        assert_eq!(pod(None, "u2"), Ok("u2".to_owned()));
        assert_eq!(pod(Some(("bank", "web")), "u2"), Ok("u2".to_owned()));
        assert_eq!(pod(Some(("shop", "db")), "u4"), Ok("u4".to_owned()), "of two of one name");
        let refused = |key, uid, code, text: &str| assert_eq!(pod(key, uid), Err((code, text.to_owned())));
        refused(Some(("shop", "x")), "", Code::NotFound, "pod shop/x not found on agent node");
        refused(Some(("shop", "x")), "u1", Code::NotFound, "pod shop/x not found on agent node");
        refused(None, "u9", Code::NotFound, "pod with UID u9 not found on agent node");
        refused(Some(("shop", "web")), "u2", Code::NotFound, "pod shop/web has UID u1, expected u2");
        let text = "two pods are listed as shop/db: refer to one by its UID";
        refused(Some(("shop", "db")), "", Code::FailedPrecondition, text);
    }

    #[test]
    fn what_is_no_reference_to_a_pod_is_refused_with_spires_texts() {
        let none = KubernetesObjectReference::default();
        for (object, text) in [
            (none, "object reference is missing type"),
            (object("", "core", None, "u"), "object reference type is missing plural"),
            (object("pods", "", None, "u"), "object reference type is missing group"),
            (object("pods", "core", None, ""), "object reference is missing key and UID"),
            (object("pods", "core", Some(("shop", "")), "u"), "object reference key is missing name"),
            (
                object("pods", "core", Some(("", "web")), ""),
                "namespace is required when name is set for a namespaced resource",
            ),
            (
                object("deployments", "apps", Some(("shop", "web")), ""),
                "Kubernetes resource deployments.apps cannot be referred to here: only pods.core",
            ),
            (
                object("pods", "metrics.k8s.io", Some(("shop", "web")), ""),
                "Kubernetes resource pods.metrics.k8s.io cannot be referred to here: only pods.core",
            ),
        ] {
            assert_eq!(found(&object), Err((Code::InvalidArgument, text.to_owned())));
        }
        let read = |type_url: &str, value: &[u8]| {
            let refusal = Referent::read(&reference(type_url, value.to_vec())).unwrap_err();
            (refusal.code(), refusal.to_string())
        };
        let unsupported = (Code::InvalidArgument, "unsupported reference type: x.org/y".to_owned());
        assert_eq!(read("x.org/y", b""), unsupported);
        for (type_url, begin) in [
            (KubernetesObjectReference::type_url(), "unable to unmarshal object reference: "),
            (WorkloadPidReference::type_url(), "unable to unmarshal PID reference: "),
        ] {
            let (code, text) = read(&type_url, b"\xff");
            assert!(code == Code::InvalidArgument && text.starts_with(begin), "{text}");
        }
        let pid = WorkloadPidReference { pid: 7 }.encode_to_vec();
        assert_eq!(Referent::read(&reference(&WorkloadPidReference::type_url(), pid)).unwrap(), Referent::Process(7));
    }

    #[test]
    fn a_broker_that_is_not_named_is_refused() {
        let id = |text| SpiffeId::parse(text).unwrap();
        let brokers = BTreeSet::from([id("spiffe://example.org/broker")]);
        check_broker(&brokers, &id("spiffe://example.org/broker")).unwrap();
        let refusal = check_broker(&brokers, &id("spiffe://other.org/broker")).unwrap_err();
        let text = "broker \"spiffe://other.org/broker\" is not configured".to_owned();
        assert_eq!((refusal.code(), refusal.to_string()), (Code::PermissionDenied, text));
    }
}
