//! Backup, restore, recovery, inspection and telemetry with real processes: the programs as an operator runs them.

mod backup;
mod recover;
mod refused;
mod schedule;
mod seal_rotation;
mod site;
mod telemetry;
