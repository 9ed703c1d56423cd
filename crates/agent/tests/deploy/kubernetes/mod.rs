//! The manifests for Kubernetes, as far as they can be tried without one: against its types, against each other, and
//! with the programs that they start.
//!
//! ```text
//!   objects.rs ── the files, and each object by its type ──┬── manifests.rs  what they say of each other
//!                                                          └── pod.rs ────── replicas.rs  pods made of processes
//! ```

mod manifests;
mod objects;
mod pod;
mod replicas;
