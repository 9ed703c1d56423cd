//! `k8s`: the pod and the container of a workload, as the kubelet of this node tells (SPIRE's k8s workload attestor).
//!
//! ```text
//!   pid ─ container::locate ─► pod UID, container ID
//!                                   │
//!   kubelet GET /pods ─ PodLists ───┼─► find ─► selectors ─► container::check_process ─► the answer
//!        (one request at a time,    │
//!         shared by all who wait)   └─► API server: labels of the namespace, when asked for
//!
//!   a broker's reference ─ reference ─► pid, as above, or a pod of the list ─► access_review, when asked for
//! ```

mod access_review;
mod api_server;
mod attestor;
mod find;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod kubelet;
mod namespace_labels;
mod pod;
mod pod_lists;
mod reference;
mod selectors;
mod settings;
#[cfg(test)]
mod tests;

pub use attestor::{K8sAttestor, K8sError};
pub use kubelet::KubeletError;
pub use settings::{ApiServer, BrokerAccess, K8sSettings, KubeletAccess, KubeletAuthentication, KubeletSettings};
