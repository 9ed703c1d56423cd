//! What every place of a store has, what it should have, and what is due: values only.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Claim, Content, Slot};

/// By place. A place is known for as long as something is, or may be, there or is wanted there.
#[derive(Default)]
pub struct Records {
    by_slot: BTreeMap<Slot, Record>,
}

#[derive(Default)]
struct Record {
    claim: Option<Claim>,
    /// Put there in the life of this process.
    stored: Option<Stored>,
    /// Whether something may be there, by whomever.
    occupied: bool,
    /// Attempts in a row that failed.
    failures: u32,
    retry_at: Option<Instant>,
    /// When a deletion that is still due was tried first.
    undeleted_since: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Stored {
    values: Vec<String>,
    content: Content,
    at: Instant,
}

/// Something to do now.
#[derive(Debug)]
pub enum Due {
    Delete(Slot),
    Put { slot: Slot, claim: Claim, content: Content },
}

impl Records {
    /// From now on `claims` are wanted and nothing else.
    pub fn want(&mut self, claims: BTreeMap<Slot, Claim>) {
        let mut old = std::mem::take(&mut self.by_slot);
        for (slot, claim) in claims {
            let mut record = old.remove(&slot).unwrap_or_default();
            if record.claim.as_ref().is_none_or(|before| before.values != claim.values) {
                // Somebody mended the entry, perhaps: no need to wait.
                record.retry_at = None;
            }
            (record.claim, record.undeleted_since) = (Some(claim), None);
            self.by_slot.insert(slot, record);
        }
        for (slot, mut record) in old.into_iter().filter(|(_, record)| record.occupied) {
            if record.claim.take().is_some() {
                (record.failures, record.retry_at) = (0, None);
            }
            record.stored = None;
            self.by_slot.insert(slot, record);
        }
    }

    /// Something is there from before; it goes unless somebody wants the place.
    pub fn found(&mut self, slot: Slot) {
        self.by_slot.entry(slot).or_default().occupied = true;
    }

    /// The first of what is due, at most `count`. Nothing is put while there is something to delete: that may make
    /// room, and a store may know two places by one name.
    pub fn due(&self, now: Instant, count: usize) -> Vec<Due> {
        let ready = || self.by_slot.iter().filter(|(_, record)| record.retry_at.is_none_or(|at| at <= now));
        let deletions = ready().filter(|(_, record)| record.claim.is_none()).map(|(slot, _)| Due::Delete(slot.clone()));
        let deletions: Vec<Due> = deletions.take(count).collect();
        if !deletions.is_empty() {
            return deletions;
        }
        let puts = ready().filter_map(|(slot, record)| {
            let (claim, content) = record.missing()?;
            Some(Due::Put { slot: slot.clone(), claim: claim.clone(), content: content.clone() })
        });
        puts.take(count).collect()
    }

    /// What was due is done, at `now`.
    pub fn done(&mut self, due: &Due, now: Instant) {
        let Some(record) = self.by_slot.get_mut(due.slot()) else { return };
        (record.failures, record.retry_at) = (0, None);
        let undeleted_since = record.undeleted_since.take();
        match due {
            Due::Put { claim, content, .. } => {
                record.occupied = true;
                record.stored = Some(Stored { values: claim.values.clone(), content: content.clone(), at: now });
            }
            Due::Delete(slot) if record.claim.is_none() => _ = self.by_slot.remove(slot),
            Due::Delete(_) => (record.occupied, record.stored) = (false, None),
        }
        if let Some(since) = undeleted_since {
            self.doubt(since);
        }
    }

    /// A deletion that comes late may take what was put meanwhile, where a store knows two places by one name: those
    /// are put again.
    fn doubt(&mut self, since: Instant) {
        for record in self.by_slot.values_mut() {
            record.stored.take_if(|stored| stored.at >= since);
        }
    }

    /// It was tried at `now`, and is tried again after a pause, which is returned.
    pub fn failed(&mut self, due: &Due, now: Instant) -> Duration {
        let Some(record) = self.by_slot.get_mut(due.slot()) else { return RETRY_MIN };
        // Who knows what has been left there.
        record.occupied = true;
        if let Due::Delete(_) = due {
            record.undeleted_since.get_or_insert(now);
        }
        let pause = RETRY_MIN.saturating_mul(1 << record.failures.min(DOUBLINGS_MAX)).min(RETRY_MAX);
        record.failures = record.failures.saturating_add(1);
        record.retry_at = now.checked_add(pause);
        pause
    }

    /// When something that failed is tried again.
    pub fn wake_at(&self) -> Option<Instant> {
        self.by_slot.values().filter(|record| record.is_open()).filter_map(|record| record.retry_at).min()
    }

    #[cfg(test)]
    pub(super) fn by_slot_is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// Places that are not as they should be.
    pub fn open(&self) -> usize {
        self.by_slot.values().filter(|record| record.is_open()).count()
    }
}

impl Record {
    /// What is to be put there and is not.
    fn missing(&self) -> Option<(&Claim, &Content)> {
        let claim = self.claim.as_ref()?;
        let content = claim.content.as_ref()?;
        let there = self.stored.as_ref();
        let is_there = there.is_some_and(|stored| stored.content == *content && stored.values == claim.values);
        (!is_there).then_some((claim, content))
    }

    fn is_open(&self) -> bool {
        self.claim.is_none() || self.missing().is_some()
    }
}

impl Due {
    pub fn slot(&self) -> &Slot {
        match self {
            Self::Delete(slot) | Self::Put { slot, .. } => slot,
        }
    }
}

const RETRY_MIN: Duration = Duration::from_secs(1);
/// SPIRE tries every 5 s without an end; nobody waits longer than this after the fault was mended.
const RETRY_MAX: Duration = Duration::from_secs(60);
const DOUBLINGS_MAX: u32 = 16;
