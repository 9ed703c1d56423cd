//! From the lines of a history to operations on registers.

use std::collections::{BTreeMap, HashMap};

use super::history::{Answer, Line};
use super::linearize::Operation;

/// Operations by register, and what needs no search to be wrong.
pub(super) struct Operations {
    pub(super) by_register: BTreeMap<u32, Vec<Operation>>,
    pub(super) wrong: Vec<String>,
}

impl Operations {
    pub(super) fn of(history: &[Line]) -> Self {
        let mut open = HashMap::new();
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
                _ => {}
            }
        }
        for (register, called_at, call) in open.into_values() {
            operations.push(register, Operation { called_at, call, returned: None });
        }
        operations
    }

    fn push(&mut self, register: u32, operation: Operation) {
        self.by_register.entry(register).or_default().push(operation);
    }
}
