//! What becomes of the bytes that one replica sends to another.

use std::time::Duration;

use steeple_testkit::Dice;

/// One direction between two replicas, whoever of them dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Nothing arrives until it is mended; then all that was sent does, as TCP repeats it.
    pub(crate) cut: bool,
    /// Each piece takes between these, in milliseconds.
    pub(crate) delay_ms: (u64, u64),
    /// Of 100 pieces, so many are lost and sent again.
    pub(crate) lost_percent: u64,
}

impl Link {
    pub(crate) const OPEN: Self = Self { cut: false, delay_ms: (0, 0), lost_percent: 0 };
    pub(crate) const CUT: Self = Self { cut: true, ..Self::OPEN };

    /// How long a piece is under way while the link is not cut.
    pub(super) fn travel(&self, dice: &mut Dice) -> Duration {
        let (least, most) = self.delay_ms;
        let mut travel = Duration::from_millis(least + dice.below(most.saturating_sub(least) + 1));
        if dice.below(100) < self.lost_percent {
            travel += RETRANSMISSION;
        }
        travel
    }
}

/// Linux's shortest timeout before it sends a segment again.
const RETRANSMISSION: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn travels(link: Link) -> Vec<u64> {
        let mut dice = Dice::new(1);
        (0..200).map(|_| link.travel(&mut dice).as_millis() as u64).collect()
    }

    #[test]
    fn an_open_link_takes_no_time() {
        assert_eq!(travels(Link::OPEN), [0; 200]);
    }

    #[test]
    fn a_slow_link_keeps_within_its_bounds() {
        let taken = travels(Link { delay_ms: (20, 80), ..Link::OPEN });
        assert!(taken.iter().all(|ms| (20..=80).contains(ms)) && taken.iter().any(|ms| *ms > 60));
    }

    #[test]
    fn a_lossy_link_sends_some_again() {
        let again = travels(Link { lost_percent: 10, ..Link::OPEN }).into_iter().filter(|ms| *ms == 200).count();
        assert!((5..50).contains(&again), "{again} of 200");
    }
}
