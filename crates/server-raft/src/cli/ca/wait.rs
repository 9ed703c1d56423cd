//! When a wait of a rotation by hand is over: everybody has acknowledged, or it has lasted for too long.

use std::time::{Duration, Instant};

use steeple_api::steeple::server::Acknowledgements;
use steeple_ca::lifecycle::PROPAGATION_MAX;
use steeple_ca::rotation::Step;

/// The wait that is going on. Started again with the command: what is known of it is not worth a file.
#[derive(Debug)]
pub(super) struct Wait {
    step: Step,
    began: Instant,
    /// Since when nobody is missing.
    complete_since: Option<Instant>,
    most: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoesOn,
    Complete,
    /// Some are missing, and it goes on without them.
    TooLong,
}

/// SPIRE's agents replace 100 tainted SVIDs in 5 s and hold 1,000 by default. Nothing tells when they are done.
pub(super) const SPIRE_AGENTS_REPLACE: Duration = Duration::from_secs(60);

impl Wait {
    pub(super) fn new(step: Step, most: Duration, now: Instant) -> Self {
        Self { step, began: now, complete_since: None, most }
    }

    pub(super) fn is_for(&self, step: &Step) -> bool {
        self.step == *step
    }

    /// `missing` are those that this step waits for.
    pub(super) fn look(&mut self, now: Instant, missing: u64, known: &Acknowledgements) -> Verdict {
        if missing > 0 {
            self.complete_since = None;
            let too_long = now.duration_since(self.began) >= self.most;
            return if too_long { Verdict::TooLong } else { Verdict::GoesOn };
        }
        let since = *self.complete_since.get_or_insert(now);
        if now.duration_since(since) >= self.rest(known) { Verdict::Complete } else { Verdict::GoesOn }
    }

    /// How long it lasts although nobody is missing.
    fn rest(&self, known: &Acknowledgements) -> Duration {
        match self.step {
            Step::AwaitBundle | Step::AwaitTaint if known.untracked => PROPAGATION_MAX,
            Step::AwaitTaint if known.polling_agents > 0 => SPIRE_AGENTS_REPLACE,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wait(step: Step) -> (Wait, Instant) {
        let now = Instant::now();
        (Wait::new(step, 600 * SECOND, now), now)
    }

    #[test]
    fn whoever_is_missing_is_waited_for_up_to_the_bound() {
        let (mut wait, now) = wait(Step::AwaitBundle);
        let known = Acknowledgements::default();
        assert_eq!(wait.look(now + 599 * SECOND, 1, &known), Verdict::GoesOn);
        assert_eq!(wait.look(now + 600 * SECOND, 1, &known), Verdict::TooLong);
        assert_eq!(wait.look(now + 601 * SECOND, 0, &known), Verdict::Complete);
    }

    #[test]
    fn where_nobody_acknowledges_time_has_to_do() {
        let (mut wait, now) = wait(Step::AwaitBundle);
        let known = Acknowledgements { untracked: true, ..Acknowledgements::default() };
        assert_eq!(wait.look(now, 0, &known), Verdict::GoesOn);
        assert_eq!(wait.look(now + PROPAGATION_MAX, 0, &known), Verdict::Complete);
    }

    #[test]
    fn spires_agents_get_time_to_replace_what_is_tainted() {
        let (mut wait, now) = wait(Step::AwaitTaint);
        let known = Acknowledgements { polling_agents: 1, ..Acknowledgements::default() };
        assert_eq!(wait.look(now, 0, &known), Verdict::GoesOn);
        // One that comes back begins it again.
        assert_eq!(wait.look(now + SECOND, 1, &known), Verdict::GoesOn);
        assert_eq!(wait.look(now + 2 * SECOND, 0, &known), Verdict::GoesOn);
        assert_eq!(wait.look(now + SPIRE_AGENTS_REPLACE, 0, &known), Verdict::GoesOn);
        assert_eq!(wait.look(now + 2 * SECOND + SPIRE_AGENTS_REPLACE, 0, &known), Verdict::Complete);
    }
}
