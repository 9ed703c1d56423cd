//! A token bucket: so many a second, as many at once as in a second.

use std::time::{Duration, Instant};

/// Full at first. Tokens can be taken before they are there, by whoever waits for them: waiters are served in their
/// order, as Go's `rate.Limiter` does it.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    burst: u32,
    /// Time that brings one token.
    token: Duration,
    /// When it will be full again, if nobody takes any more. Never before, never more than the burst's time behind.
    full_at: Instant,
}

/// Tokens that were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// They may be used from now on.
    pub ready_at: Instant,
    cost: Duration,
    /// When the bucket would have been full after this.
    full_at: Instant,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// More than the bucket ever holds.
    ExceedsBurst { burst: u32 },
    /// There will be enough only after this.
    NotBefore { wait: Duration },
}

impl TokenBucket {
    /// `per_second` is also the burst; zero counts as one.
    pub fn full(per_second: u32, now: Instant) -> Self {
        let burst = per_second.max(1);
        // Rounded up, so that the rate is never more than what was asked for.
        let token = Duration::from_nanos(NANOS_PER_SEC.div_ceil(u64::from(burst)));
        Self { burst, token, full_at: now }
    }

    /// Takes `count` tokens that will be there within `wait_max`, or none.
    pub fn reserve(&mut self, count: u32, now: Instant, wait_max: Duration) -> Result<Reservation, Shortage> {
        if count > self.burst {
            return Err(Shortage::ExceedsBurst { burst: self.burst });
        }
        let cost = self.token * count;
        let full_at = self.full_at.max(now) + cost;
        let wait = full_at.saturating_duration_since(now).saturating_sub(self.token * self.burst);
        if wait > wait_max {
            return Err(Shortage::NotBefore { wait });
        }
        self.full_at = full_at;
        Ok(Reservation { ready_at: now + wait, cost, full_at })
    }

    /// Undoes a reservation that was not used. What others took after it stays behind it, so they keep their times,
    /// and that part is lost.
    pub fn give_back(&mut self, unused: Reservation) {
        let behind = self.full_at.saturating_duration_since(unused.full_at);
        let free = unused.cost.saturating_sub(behind);
        self.full_at = self.full_at.checked_sub(free).unwrap_or(self.full_at);
    }
}

const NANOS_PER_SEC: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FOREVER: Duration = Duration::from_secs(1 << 20);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_then_one_at_a_time() {
        let begin = Instant::now();
        let mut bucket = TokenBucket::full(10, begin);
        let mut wait_at = |count, after| bucket.reserve(count, begin + ms(after), FOREVER).unwrap().ready_at - begin;
        assert_eq!(wait_at(9, 0), ms(0));
        assert_eq!(wait_at(1, 0), ms(0));
        assert_eq!(wait_at(1, 0), ms(100), "in the order of asking");
        assert_eq!(wait_at(2, 50), ms(300));
        assert_eq!(wait_at(0, 50), ms(300), "even nothing waits for its turn");
        assert_eq!(wait_at(10, 5000), ms(5000), "it holds no more than its burst");
        assert_eq!(wait_at(1, 5000), ms(5100));
    }

    #[test]
    fn what_cannot_be_had_takes_nothing() {
        let now = Instant::now();
        let mut bucket = TokenBucket::full(2, now);
        assert_eq!(bucket.reserve(3, now, FOREVER), Err(Shortage::ExceedsBurst { burst: 2 }));
        bucket.reserve(2, now, Duration::ZERO).unwrap();
        assert_eq!(bucket.reserve(1, now, ms(499)), Err(Shortage::NotBefore { wait: ms(500) }));
        assert_eq!(bucket.reserve(1, now, ms(500)).unwrap().ready_at, now + ms(500));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let now = Instant::now();
        let mut bucket = TokenBucket::full(1, now);
        bucket.reserve(1, now, FOREVER).unwrap();
        let second = bucket.reserve(1, now, FOREVER).unwrap();
        bucket.give_back(second);
        let second = bucket.reserve(1, now, FOREVER).unwrap();
        assert_eq!(second.ready_at, now + ms(1000));
        let third = bucket.reserve(1, now, FOREVER).unwrap();
        bucket.give_back(second);
        assert_eq!(third.ready_at, now + ms(2000), "whoever waits keeps the time that was promised");
        assert_eq!(bucket.reserve(1, now, FOREVER).unwrap().ready_at, now + ms(3000));
    }

    proptest! {
        /// Whatever is taken, refused and given back: between any two moments no more is granted than the burst and
        /// what flowed in.
        #[test]
        fn no_window_grants_more_than_burst_and_rate(
            per_second in 1_u32..2_000,
            steps in prop::collection::vec((0_u64..2_000_000, 0_u32..600, 0_u64..3_000, any::<bool>()), 1..80),
        ) {
            let begin = Instant::now();
            let mut bucket = TokenBucket::full(per_second, begin);
            let mut now = begin;
            let mut taken: Vec<(Reservation, u32)> = Vec::new();
            for (micros, count, wait_max, somebody_gives_up) in steps {
                now += Duration::from_micros(micros);
                if let Some(index) = taken.iter().position(|(waiter, _)| somebody_gives_up && waiter.ready_at > now) {
                    bucket.give_back(taken.remove(index).0);
                }
                let Ok(reservation) = bucket.reserve(count, now, ms(wait_max)) else { continue };
                prop_assert!(reservation.ready_at >= now && reservation.ready_at <= now + ms(wait_max));
                taken.push((reservation, count));
            }
            let mut granted: Vec<(Duration, u32)> =
                taken.iter().map(|(reservation, count)| (reservation.ready_at - begin, *count)).collect();
            granted.sort();
            for (index, (first, _)) in granted.iter().enumerate() {
                let mut sum = 0_u64;
                for (last, count) in &granted[index..] {
                    sum += u64::from(*count);
                    let flowed = (*last - *first).as_secs_f64() * f64::from(per_second);
                    prop_assert!(sum as f64 <= f64::from(per_second) + flowed + 1e-3, "{sum} in {:?}", *last - *first);
                }
            }
        }
    }
}
