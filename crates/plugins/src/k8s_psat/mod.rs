//! `k8s_psat`: an agent in a pod shows the projected service account token that Kubernetes gave to the pod.
//!
//! ```text
//!   agent ── payload: cluster, token ──▶ server ── TokenReview ──▶ API server   authenticated, for our audience?
//!                                               ── GET pod ──────▶              is it the pod of the token?
//!                                               ── GET node ─────▶              id = UID of the node (or of the pod)
//! ```
//!
//! There is no challenge: whoever holds the token is believed for as long as Kubernetes believes it. Wire format and
//! texts are SPIRE's.

mod agent;
#[cfg(feature = "kubernetes")]
mod api;
#[cfg(feature = "kubernetes")]
mod review;
#[cfg(feature = "kubernetes")]
mod server;
mod wire;

pub use agent::K8sPsatAgent;
#[cfg(feature = "kubernetes")]
pub use server::{ClusterSettings, K8sPsatServer};

pub(crate) const NAME: &str = "k8s_psat";
