//! Backup, restore, recovery, inspection and telemetry with real processes: the programs as an operator runs them.

mod apply;
mod audit;
mod backup;
mod bucket;
mod composers;
mod dead_peer;
mod debug_bundle;
mod entry_watch;
mod membership;
mod new_sealing_key;
mod postgres;
mod progress;
mod publishers_protocol_double;
mod recover;
mod refused;
mod schedule;
mod seal_rotation;
mod signers;
mod site;
mod stopping;
mod supervised;
mod telemetry;
mod upgrade;
mod wit;
