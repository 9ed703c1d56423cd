//! Places for work that anybody can begin, such as handshakes, so that a crowd of one origin keeps nobody else out.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// A fixed number of places, shared by origins (IP addresses) with regard to how many each of them holds. Cheap to
/// clone; clones share the places.
#[derive(Clone, Debug)]
pub struct Places<K> {
    free: Arc<Semaphore>,
    held: Arc<Mutex<Held<K>>>,
}

/// One place; dropping it gives it back.
#[derive(Debug)]
pub struct Place<K> {
    held: Arc<Mutex<Held<K>>>,
    number: u64,
    lost: CancellationToken,
}

#[derive(Debug)]
struct Held<K> {
    next_number: u64,
    /// The oldest first.
    holders: BTreeMap<u64, Holder<K>>,
}

#[derive(Debug)]
struct Holder<K> {
    origin: K,
    permit: OwnedSemaphorePermit,
    lost: CancellationToken,
}

impl<K: Clone + Eq + Hash> Places<K> {
    pub fn new(max: usize) -> Self {
        let held = Held { next_number: 0, holders: BTreeMap::new() };
        Self { free: Arc::new(Semaphore::new(max)), held: Arc::new(Mutex::new(held)) }
    }

    /// A free place, or one of an origin that holds more than it would leave to `origin`; else waits for its turn. For
    /// work that is slow when there is much of it.
    pub async fn wait(&self, origin: K) -> Place<K> {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => self.held.lock().take_from(|count, own| count > own + 1, &origin),
        };
        let permit = match permit {
            Some(permit) => permit,
            // Never closed: who waits gets one.
            None => match Arc::clone(&self.free).acquire_owned().await {
                Ok(permit) => permit,
                Err(_) => std::future::pending().await,
            },
        };
        self.give(origin, permit)
    }

    /// A free place, or the oldest of the origin that holds most. For work that is over in milliseconds unless it is
    /// not meant to end. None if there is no place at all.
    pub fn replace(&self, origin: K) -> Option<Place<K>> {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => self.held.lock().take_from(|_, _| true, &origin),
        };
        permit.map(|permit| self.give(origin, permit))
    }

    fn give(&self, origin: K, permit: OwnedSemaphorePermit) -> Place<K> {
        let mut held = self.held.lock();
        let (number, lost) = (held.next_number, CancellationToken::new());
        held.next_number += 1;
        held.holders.insert(number, Holder { origin, permit, lost: lost.clone() });
        Place { held: Arc::clone(&self.held), number, lost }
    }
}

impl<K: Clone + Eq + Hash> Held<K> {
    /// The oldest place of the origin that holds most, if `may` says so of its number and that of `origin`.
    fn take_from(&mut self, may: impl Fn(usize, usize) -> bool, origin: &K) -> Option<OwnedSemaphorePermit> {
        let mut counts: HashMap<&K, usize> = HashMap::new();
        for holder in self.holders.values() {
            *counts.entry(&holder.origin).or_default() += 1;
        }
        let own = counts.get(origin).copied().unwrap_or(0);
        let most = counts.values().copied().max().filter(|most| may(*most, own))?;
        let oldest = self.holders.iter().find(|(_, holder)| counts.get(&holder.origin) == Some(&most));
        let number = *oldest?.0;
        let holder = self.holders.remove(&number)?;
        holder.lost.cancel();
        Some(holder.permit)
    }
}

impl<K> Place<K> {
    /// Until somebody else is given this place. Whoever holds it is to end then.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl<K> Drop for Place<K> {
    fn drop(&mut self) {
        self.held.lock().holders.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn is_lost<K>(place: &Place<K>) -> bool {
        place.lost().now_or_never().is_some()
    }

    #[test]
    fn a_crowd_gives_way_to_others_and_waits_for_itself() {
        let places = Places::new(3);
        let crowd: Vec<_> = (0..3).map(|_| places.wait("crowd").now_or_never().unwrap()).collect();
        assert!(places.wait("crowd").now_or_never().is_none());
        let one = places.wait("one").now_or_never().unwrap();
        assert_eq!(crowd.iter().map(is_lost).collect::<Vec<_>>(), [true, false, false]);
        assert!(places.wait("one").now_or_never().is_none(), "two and one are fair");
        let other = places.wait("other").now_or_never().unwrap();
        assert_eq!(crowd.iter().map(is_lost).collect::<Vec<_>>(), [true, true, false]);
        assert!(places.wait("fourth").now_or_never().is_none(), "nobody holds more than one");
        drop((one, other, crowd));
        assert_eq!(places.free.available_permits(), 3);
    }

    #[test]
    fn whoever_waits_is_next() {
        let places = Places::new(1);
        let first = places.wait("a").now_or_never().unwrap();
        let mut second = Box::pin(places.wait("a"));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(!is_lost(&second.now_or_never().unwrap()));
    }

    #[test]
    fn the_oldest_is_replaced_even_by_its_like() {
        let places = Places::new(2);
        let [first, second] = [(); 2].map(|()| places.replace("a").unwrap());
        let third = places.replace("a").unwrap();
        assert_eq!([&first, &second, &third].map(is_lost), [true, false, false]);
        let fourth = places.replace("b").unwrap();
        assert_eq!([&second, &third, &fourth].map(is_lost), [true, false, false]);
        drop((first, second, third, fourth));
        assert_eq!(places.free.available_permits(), 2);
        assert!(Places::new(0).replace("a").is_none());
    }
}
