//! From the lines of a history to operations on registers.
//!
//! A backup is a read of all registers at once, at an instant between its beginning and its end. What it read is known
//! when it was restored.

use std::collections::{BTreeMap, HashMap};

use super::history::{Answer, Line};
use super::linearize::Operation;
use super::model::{Call, Outcome, Value};

/// When the last one was made.
#[derive(Clone, Copy, Default)]
struct Backup {
    began_at: u64,
    ended_at: u64,
}

/// Operations by register, and what needs no search to be wrong.
pub(super) struct Operations {
    pub(super) by_register: BTreeMap<u32, Vec<Operation>>,
    pub(super) wrong: Vec<String>,
}

impl Operations {
    pub(super) fn of(history: &[Line]) -> Self {
        let mut open = HashMap::new();
        let mut backup = Backup::default();
        let mut operations = Self { by_register: BTreeMap::new(), wrong: Vec::new() };
        for line in history {
            match line {
                Line::Invoke { op, at_us, register, call, .. } => {
                    open.insert(*op, (*register, *at_us, *call));
                }
                Line::Return { op, at_us, answer } => {
                    let Some((register, called_at, call)) = open.remove(op) else {
                        operations.wrong.push(format!("op {op} has an answer and no call"));
                        continue;
                    };
                    let returned = match answer {
                        Answer::Told { outcome } => Some((*at_us, *outcome)),
                        Answer::Open { .. } => None,
                        Answer::Refused { .. } => continue,
                        Answer::Wrong { reason } => {
                            operations.wrong.push(format!("op {op} on register {register}: {reason}"));
                            continue;
                        }
                    };
                    operations.push(register, Operation { called_at, call, returned });
                }
                Line::BackupBegan { at_us } => backup.began_at = *at_us,
                Line::BackupEnded { at_us } => backup.ended_at = *at_us,
                Line::Restored { registers, .. } => {
                    for (register, _, _) in open.values() {
                        operations.by_register.entry(*register).or_default();
                    }
                    operations.read_at_once(backup, &registers.iter().copied().collect());
                }
                _ => {}
            }
        }
        for (register, called_at, call) in open.into_values() {
            operations.push(register, Operation { called_at, call, returned: None });
        }
        operations
    }

    /// Adds what the backup read of each register that there was.
    fn read_at_once(&mut self, backup: Backup, found: &BTreeMap<u32, Value>) {
        for register in found.keys().filter(|register| !self.by_register.contains_key(register)) {
            self.wrong.push(format!("the restored cluster has register {register}, which nobody wrote"));
        }
        for (register, operations) in &mut self.by_register {
            let outcome = found.get(register).map_or(Outcome::Absent, |value| Outcome::Holds { value: *value });
            let returned = Some((backup.ended_at, outcome));
            operations.push(Operation { called_at: backup.began_at, call: Call::Get, returned });
        }
    }

    fn push(&mut self, register: u32, operation: Operation) {
        self.by_register.entry(register).or_default().push(operation);
    }
}
