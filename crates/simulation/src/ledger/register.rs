//! An entry with one writer: what it may hold when somebody reads it.

/// Its states in the order in which they were asked for. The writer asks for one at a time, and leaves the entry alone
/// after an answer that did not come: what was asked then may take effect at any later time, or never.
#[derive(Clone, Debug)]
pub struct Register {
    /// The first is that it does not exist.
    states: Vec<Option<u64>>,
    acknowledged: usize,
    /// Somebody has read this one, so nobody reads an earlier one afterwards.
    seen: usize,
}

/// A read that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    at_least: usize,
}

impl Default for Register {
    fn default() -> Self {
        Self { states: vec![None], acknowledged: 0, seen: 0 }
    }
}

impl Register {
    /// Before it is sent.
    pub fn ask(&mut self, state: Option<u64>) {
        self.states.push(state);
    }

    /// The last one took effect.
    pub fn acknowledge(&mut self) {
        self.acknowledged = self.states.len() - 1;
    }

    /// The last one took no effect and never will.
    pub fn refuse(&mut self) {
        self.states.pop();
    }

    /// As its writer knows it.
    pub fn current(&self) -> Option<u64> {
        self.states[self.acknowledged]
    }

    pub fn begin_reading(&self) -> Reading {
        Reading { at_least: self.acknowledged.max(self.seen) }
    }

    /// What must not be is an `Err`.
    pub fn read(&mut self, reading: Reading, found: Option<u64>) -> Result<(), String> {
        let possible = &self.states[reading.at_least..];
        let Some(position) = possible.iter().position(|state| *state == found) else {
            return Err(format!("{found:?} was read, and only {possible:?} are possible"));
        };
        self.seen = self.seen.max(reading.at_least + position);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_is_read_and_what_was_asked_may_be() {
        let mut register = Register::default();
        register.ask(Some(1));
        let early = register.begin_reading();
        assert_eq!(register.read(early, None), Ok(()));
        register.acknowledge();
        register.ask(Some(2));
        let reading = register.begin_reading();
        assert!(register.read(reading, None).is_err(), "lost");
        assert!(register.read(reading, Some(7)).is_err(), "nobody wrote it");
        assert_eq!(register.read(reading, Some(2)), Ok(()));
        let later = register.begin_reading();
        assert!(register.read(later, Some(1)).is_err(), "it went back");
        assert_eq!(register.read(reading, Some(1)), Ok(()), "as a read that began before");
    }

    #[test]
    fn what_was_refused_is_never_there() {
        let mut register = Register::default();
        register.ask(Some(1));
        register.acknowledge();
        register.ask(None);
        register.refuse();
        assert_eq!(register.current(), Some(1));
        let reading = register.begin_reading();
        assert!(register.read(reading, None).is_err());
    }
}
