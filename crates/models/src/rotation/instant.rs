//! The moments of a rotation that make a difference, under an authority that lives for 24 minutes.
//!
//! ```text
//!   12:00 a successor is prepared   20:00 it is due   22:00 at the latest   24:00 the old one ends
//!   └ First                 └ Before  └ Due   └ Later    └ Over
//!                          19:30              20:30
//! ```
//!
//! Who was seen `Before` is alive when it is `Due`, and not `Later`.

use std::time::Duration;

use steeple_ca::acknowledgement::LIVE_WITHIN;
use steeple_ca::policy::Policy;
use steeple_core::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instant {
    First,
    Before,
    Due,
    Later,
    Over,
}

impl Instant {
    pub const ALL: [Self; 5] = [Self::First, Self::Before, Self::Due, Self::Later, Self::Over];

    pub fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|other| *other > self)
    }

    pub fn time(self) -> Timestamp {
        BEGINNING.saturating_add(Duration::from_millis(match self {
            Self::First => 12 * MINUTE_MS + 1,
            Self::Before => 19 * MINUTE_MS + 30_000,
            Self::Due => 20 * MINUTE_MS + 1,
            Self::Later => 20 * MINUTE_MS + 30_002,
            Self::Over => 22 * MINUTE_MS + 3,
        }))
    }

    /// Since the replicas began to listen, long before the model begins.
    pub fn since_beginning(self) -> Duration {
        self.time().since(BEGINNING)
    }

    /// Whether who was seen then counts as alive at `now`.
    pub fn is_recent(self, now: Self) -> bool {
        now.time().since(self.time()) < LIVE_WITHIN
    }
}

pub fn policy() -> Policy {
    Policy { ca_ttl: CA_TTL, ack_wait_max: Duration::from_secs(120), ..Policy::default() }
}

/// When the first authority was made.
pub const BEGINNING: Timestamp = Timestamp::from_secs(1_000);
pub const CA_TTL: Duration = Duration::from_secs(24 * 60);
const MINUTE_MS: u64 = 60_000;
