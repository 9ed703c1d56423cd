//! Room for request messages that have not arrived whole. Anybody can begin messages and never end them, on every
//! stream of every connection; what waits has a bound, and the connection that holds most of it gives way to others.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tonic::Status;

/// Of one listener. Cheap to clone; clones share the room.
#[derive(Clone)]
pub(super) struct Room(Arc<Mutex<Held>>);

struct Held {
    bytes_max: usize,
    bytes: usize,
    next_number: u64,
    /// Messages by number. Only those that wait for more: most arrive at once.
    unfinished: BTreeMap<u64, Unfinished>,
}

struct Unfinished {
    connection: u64,
    bytes: usize,
    /// Tells by its end that the room was given to somebody else.
    _kept: oneshot::Sender<()>,
}

/// What one connection may hold of the room.
#[derive(Clone)]
pub(super) struct Share {
    room: Room,
    connection: u64,
}

/// What one message holds of it, given back at the end.
pub(super) struct Place {
    room: Room,
    number: u64,
    lost: oneshot::Receiver<()>,
}

impl Room {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Held { bytes_max, bytes: 0, next_number: 0, unfinished: BTreeMap::new() })))
    }

    pub(super) fn share(&self) -> Share {
        Share { room: self.clone(), connection: self.0.lock().number() }
    }
}

impl Share {
    /// Makes `place` hold `bytes`; at 0 it is given up. Fails where all room is taken and nobody else holds more.
    pub(super) fn hold(&self, place: &mut Option<Place>, bytes: usize) -> Result<(), Status> {
        if bytes == 0 {
            *place = None;
            return Ok(());
        }
        let mut held = self.room.0.lock();
        let number = match place {
            Some(place) => place.number,
            None => {
                let (number, (kept, lost)) = (held.number(), oneshot::channel());
                held.unfinished.insert(number, Unfinished { connection: self.connection, bytes: 0, _kept: kept });
                *place = Some(Place { room: self.room.clone(), number, lost });
                number
            }
        };
        if held.grow(number, bytes) { Ok(()) } else { Err(no_room()) }
    }
}

impl Place {
    /// Ready with the reason when the room was given to somebody else.
    pub(super) fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let _ended = ready!(Pin::new(&mut self.lost).poll(context));
        Poll::Ready(no_room())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.0.lock().remove(self.number);
    }
}

impl Held {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Whether the message with `number` now holds `bytes`. A message that lost its room gets none.
    fn grow(&mut self, number: u64, bytes: usize) -> bool {
        let Some(message) = self.unfinished.get(&number) else { return false };
        let (connection, more) = (message.connection, bytes.saturating_sub(message.bytes));
        while self.bytes + more > self.bytes_max {
            let Some(largest) = self.largest_of_who_holds_more_than(connection, more) else { return false };
            self.remove(largest);
        }
        if let Some(message) = self.unfinished.get_mut(&number) {
            self.bytes = self.bytes - message.bytes + bytes;
            message.bytes = bytes;
        }
        true
    }

    /// The largest message of the connection that holds most, if that is more than `asking` has with `more`.
    fn largest_of_who_holds_more_than(&self, asking: u64, more: usize) -> Option<u64> {
        let mut sums: HashMap<u64, usize> = HashMap::new();
        for message in self.unfinished.values() {
            *sums.entry(message.connection).or_default() += message.bytes;
        }
        let own = sums.remove(&asking).unwrap_or(0) + more;
        let (most, _) = sums.into_iter().filter(|(_, bytes)| *bytes > own).max_by_key(|(_, bytes)| *bytes)?;
        let of_most = self.unfinished.iter().filter(|(_, message)| message.connection == most);
        of_most.max_by_key(|(_, message)| message.bytes).map(|(number, _)| *number)
    }

    fn remove(&mut self, number: u64) {
        if let Some(message) = self.unfinished.remove(&number) {
            self.bytes -= message.bytes;
        }
    }
}

fn no_room() -> Status {
    Status::resource_exhausted("there is no room for so many unfinished request messages; send fewer at a time")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn hold(share: &Share, bytes: usize) -> Result<Place, Status> {
        let mut place = None;
        share.hold(&mut place, bytes).map(|()| place.unwrap())
    }

    fn is_lost(place: &mut Place) -> bool {
        std::future::poll_fn(|context| place.poll_lost(context)).now_or_never().is_some()
    }

    #[test]
    fn who_holds_most_gives_way_and_never_to_who_would_hold_more() {
        let room = Room::new(100);
        let (crowd, other) = (room.share(), room.share());
        let (mut small, mut large) = (hold(&crowd, 20).unwrap(), hold(&crowd, 40).unwrap());
        let mut place = Some(hold(&other, 30).unwrap());
        other.hold(&mut place, 50).unwrap();
        assert_eq!([is_lost(&mut small), is_lost(&mut large)], [false, true]);
        assert!(crowd.hold(&mut Some(large), 41).is_err(), "what is lost stays so");
        assert!(crowd.hold(&mut Some(small), 60).is_err(), "60 are more than 50");
        assert!(!is_lost(place.as_mut().unwrap()));
    }

    #[test]
    fn room_comes_back() {
        let room = Room::new(100);
        let share = room.share();
        let mut place = Some(hold(&share, 100).unwrap());
        assert!(hold(&share, 1).is_err());
        share.hold(&mut place, 10).unwrap();
        let second = hold(&share, 90).unwrap();
        share.hold(&mut place, 0).unwrap();
        assert!(place.is_none());
        drop(second);
        let held = room.0.lock();
        assert_eq!((held.bytes, held.unfinished.len()), (0, 0));
    }
}
