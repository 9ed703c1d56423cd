//! What a replica takes on beside its consensus. Signing and attestation are the work that costs processors, and
//! callers decide how much of it there is; a leader whose heartbeats come late for it is taken for dead, and its
//! successor gets the same callers. So there is room for so much at a time, less while the threads of the consensus
//! wake up late, and who finds none is told when to come back (docs/adr/0047-what-is-shed.md).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::time::Instant;

use super::consensus::Consensus;
use crate::metrics;

/// The rooms of a replica.
pub(super) struct LoadShed {
    /// In signatures with P-256, of some 30 µs.
    signatures: Arc<Room>,
    /// Of nodes. Those whose turn it is to speak are not counted.
    attestations: Arc<Room>,
}

/// There is no room. Nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this server has as much {work} to do as it can take on; retry after {retry_after:?}")]
pub struct Busy {
    pub work: &'static str,
    pub retry_after: Duration,
}

struct Room {
    work: &'static str,
    bounds: Bounds,
    limit: AtomicUsize,
    taken: AtomicUsize,
}

/// A part of a room; given back when it is dropped.
pub struct Place {
    room: Arc<Room>,
    weight: usize,
}

/// Who left a place for a while. Comes back whether there is room or not: it was let in.
pub struct Away {
    room: Arc<Room>,
    weight: usize,
}

/// Between which a limit moves.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    min: usize,
    max: usize,
}

impl Bounds {
    /// The next limit. Beside threads that are `late` a quarter of the work that there is has to go; then room comes
    /// back little by little.
    fn next(self, limit: usize, taken: usize, late: bool) -> usize {
        if late { (limit.min(taken) / 4 * 3).max(self.min) } else { (limit + self.max / STEPS_BACK).min(self.max) }
    }
}

impl Default for LoadShed {
    fn default() -> Self {
        Self::of(available_parallelism().map_or(1, usize::from))
    }
}

impl LoadShed {
    fn of(cores: usize) -> Self {
        let signatures = Bounds { min: SIGNATURES_MIN * cores, max: SIGNATURES_MAX * cores };
        let attestations = Bounds { min: ATTESTATIONS_MIN, max: ATTESTATIONS_MAX };
        Self { signatures: Room::new("signing", signatures), attestations: Room::new("attestation", attestations) }
    }

    /// For so many signatures.
    pub(super) fn sign(&self, weight: usize) -> Result<Place, Busy> {
        self.signatures.enter(weight)
    }

    /// For one node.
    pub(super) fn attest(&self) -> Result<Place, Busy> {
        self.attestations.enter(1).inspect_err(|_| metrics::attestation_shed())
    }

    fn adapt(&self, late: bool) {
        self.signatures.adapt(late);
        self.attestations.adapt(late);
    }

    fn is_narrow(&self) -> bool {
        self.signatures.is_narrow() || self.attestations.is_narrow()
    }
}

impl Room {
    fn new(work: &'static str, bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { work, bounds, limit: AtomicUsize::new(bounds.max), taken: AtomicUsize::new(0) })
    }

    /// Into an empty room everything fits: what is too large for any room would never be done.
    fn enter(self: &Arc<Self>, weight: usize) -> Result<Place, Busy> {
        let limit = self.limit.load(Relaxed);
        let fits = |taken: usize| (taken == 0 || taken + weight <= limit).then_some(taken + weight);
        match self.taken.fetch_update(Relaxed, Relaxed, fits) {
            Ok(_) => Ok(Place { room: Arc::clone(self), weight }),
            Err(_) => Err(Busy { work: self.work, retry_after: RETRY_AFTER }),
        }
    }

    fn adapt(&self, late: bool) {
        let next = self.bounds.next(self.limit.load(Relaxed), self.taken.load(Relaxed), late);
        self.limit.store(next, Relaxed);
    }

    fn is_narrow(&self) -> bool {
        self.limit.load(Relaxed) < self.bounds.max
    }
}

impl Place {
    /// For as long as it is somebody else's turn.
    pub fn leave(self) -> Away {
        Away { room: Arc::clone(&self.room), weight: self.weight }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.weight, Relaxed);
    }
}

impl Away {
    pub fn back(self) -> Place {
        self.room.taken.fetch_add(self.weight, Relaxed);
        Place { room: self.room, weight: self.weight }
    }
}

/// Sees on the threads of the consensus how late they wake up, and moves the limits.
pub(super) async fn watch(consensus: Arc<Consensus>) {
    let bound = consensus.timing.heartbeat / LATE_PART;
    let (mut longest, mut looks, mut was_narrow) = (Duration::ZERO, 0, false);
    loop {
        let due = Instant::now() + LOOK_EVERY;
        tokio::time::sleep_until(due).await;
        let late = due.elapsed();
        consensus.load.adapt(late > bound);
        let is_narrow = consensus.load.is_narrow();
        if is_narrow != was_narrow {
            tell(is_narrow, late);
            was_narrow = is_narrow;
        }
        longest = longest.max(late);
        looks += 1;
        if looks == LOOKS_TOLD {
            metrics::raft_woke_late(longest);
            (longest, looks) = (Duration::ZERO, 0);
        }
    }
}

fn tell(is_narrow: bool, late: Duration) {
    let late_ms = late.as_millis();
    if is_narrow {
        tracing::warn!(late_ms, "the threads of the consensus wake up late; less is signed and attested at a time");
    } else {
        tracing::info!("the threads of the consensus wake up in time again");
    }
}

/// Three seconds of each core: whoever waits for a signature gives up after five.
const SIGNATURES_MAX: usize = 100_000;
/// Thirty milliseconds of each core, which is a third of a heartbeat.
const SIGNATURES_MIN: usize = 1_000;
/// A millisecond or two each, with the handshake and the attestor's cryptography; some wait for what the attestor asks.
const ATTESTATIONS_MAX: usize = 512;
const ATTESTATIONS_MIN: usize = 32;
/// Of a heartbeat: the next one is not late yet.
const LATE_PART: u32 = 2;
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// In a second.
const LOOKS_TOLD: u32 = 20;
/// From the smallest limit to the largest, in good looks: five seconds.
const STEPS_BACK: usize = 100;
/// By then a full room has been worked off.
const RETRY_AFTER: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { min: 10, max: 1000 };

    #[test]
    fn late_threads_make_room_of_what_is_there_and_not_of_what_could_be() {
        assert_eq!(BOUNDS.next(1000, 400, true), 300);
        assert_eq!(BOUNDS.next(300, 400, true), 225);
        assert_eq!(BOUNDS.next(1000, 0, true), 10);
    }

    #[test]
    fn the_limit_stays_within_its_bounds_and_comes_back_within_five_seconds() {
        let mut limit = BOUNDS.max;
        for _ in 0..100 {
            limit = BOUNDS.next(limit, limit, true);
        }
        assert_eq!(limit, BOUNDS.min);
        for _ in 0..STEPS_BACK {
            limit = BOUNDS.next(limit, 0, false);
        }
        assert_eq!(limit, BOUNDS.max);
        assert_eq!(LOOK_EVERY * u32::try_from(STEPS_BACK).unwrap(), Duration::from_secs(5));
        assert_eq!(LOOK_EVERY * LOOKS_TOLD, Duration::from_secs(1));
    }

    #[test]
    fn who_finds_no_room_is_told_when_to_come_back_and_takes_none() {
        let room = Room::new("signing", BOUNDS);
        let first = room.enter(600).ok().unwrap();
        let refused = room.enter(401).err().unwrap();
        assert_eq!(refused.to_string(), "this server has as much signing to do as it can take on; retry after 3s");
        let second = room.enter(400).ok().unwrap();
        assert!(room.enter(1).is_err());
        drop(first);
        assert!(room.enter(600).is_ok());
        drop(second);
        assert_eq!(room.taken.load(Relaxed), 0);
    }

    #[test]
    fn into_an_empty_room_fits_what_is_larger_than_the_room() {
        let room = Room::new("signing", BOUNDS);
        let _all = room.enter(5000).ok().unwrap();
        assert!(room.enter(1).is_err());
    }

    #[test]
    fn who_waits_for_somebody_else_takes_no_room_and_comes_back_into_a_full_one() {
        let room = Room::new("attestation", Bounds { min: 1, max: 2 });
        let away = room.enter(1).ok().unwrap().leave();
        assert_eq!(room.taken.load(Relaxed), 0);
        let _others = [room.enter(1).ok().unwrap(), room.enter(1).ok().unwrap()];
        let back = away.back();
        assert_eq!(room.taken.load(Relaxed), 3);
        drop(back);
        assert_eq!(room.taken.load(Relaxed), 2);
    }

    #[test]
    fn a_narrow_room_is_told_of_until_it_is_as_wide_as_before() {
        let load = LoadShed::of(2);
        assert!(!load.is_narrow());
        load.adapt(true);
        assert!(load.is_narrow());
        for _ in 0..STEPS_BACK {
            load.adapt(false);
        }
        assert!(!load.is_narrow());
    }
}
