//! Backup, restore, recovery and inspection with real processes: the programs as an operator runs them.

mod backup;
mod recover;
mod refused;
mod schedule;
mod site;
