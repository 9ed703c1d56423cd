//! Bundle publishers, each at its place.

mod bundles;
mod formats;
mod kubernetes_protocol_double;
