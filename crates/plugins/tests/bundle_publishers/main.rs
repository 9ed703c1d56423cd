//! Bundle publishers, each at its place, and what else is written into ConfigMaps.

mod bundles;
mod formats;
mod founding_record_protocol_double;
mod kubernetes_protocol_double;
