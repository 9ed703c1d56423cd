//! The agents on this replica's streams, woken by the log entries that concern them, and the sets that they share.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use steeple_api::push::SetHash;
use steeple_core::SpiffeId;
use steeple_state::view::Onlookers;
use steeple_state::{Change, State};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::visible::{Drawn, Visible};
use crate::metrics;
use crate::raft::{AppliedEvents, Replica};

pub struct Subscribers {
    replica: Replica,
    agents: Mutex<Agents>,
    sets: Mutex<Sets>,
}

/// An agent may have a stream too many for a moment, when it has just moved from one connection to another.
#[derive(Default)]
struct Agents {
    opened: u64,
    by_id: BTreeMap<SpiffeId, BTreeMap<u64, Stream>>,
}

struct Stream {
    due: watch::Sender<Due>,
    /// Since when its agent owes an acknowledgement.
    owed: Owed,
}

type Owed = Arc<Mutex<Option<Instant>>>;

#[derive(Default)]
struct Sets {
    by_roots: Weaks<Vec<SpiffeId>>,
    by_hash: Weaks<SetHash>,
}

/// Sets that somebody still holds, and some that nobody does until they are swept out.
struct Weaks<K> {
    known: HashMap<K, Weak<Visible>>,
    sweep_at: usize,
}

/// A stream's place among the subscribers, until it is dropped.
pub struct Subscription {
    subscribers: Arc<Subscribers>,
    agent: SpiffeId,
    number: u64,
    owed: Owed,
    pub due: watch::Receiver<Due>,
}

/// The last log entry that concerned an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub index: u64,
    /// `None` of what was there before the stream, or came with a snapshot.
    pub applied_at: Option<Instant>,
}

impl Subscribers {
    pub fn new(replica: Replica) -> Arc<Self> {
        let (agents, sets) = (Mutex::default(), Mutex::default());
        Arc::new(Self { replica, agents, sets })
    }

    /// Wakes whom a log entry concerns, until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut events = self.replica.events();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                applied = events.recv() => match applied {
                    Ok(applied) if applied.replaced => {
                        self.agents.lock().wake_all(Due { index: applied.index, applied_at: None });
                    }
                    Ok(applied) => self.wake(&applied),
                    Err(RecvError::Lagged(_)) => {
                        let due = Due { index: self.applied_index(), applied_at: None };
                        self.agents.lock().wake_all(due);
                    }
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    pub fn subscribe(self: &Arc<Self>, agent: &SpiffeId) -> Subscription {
        let mut agents = self.agents.lock();
        agents.opened += 1;
        let number = agents.opened;
        let (sender, due) = watch::channel(Due { index: self.applied_index(), applied_at: None });
        let owed = Owed::default();
        let stream = Stream { due: sender, owed: Arc::clone(&owed) };
        agents.by_id.entry(agent.clone()).or_default().insert(number, stream);
        metrics::push_agents(agents.by_id.len());
        Subscription { subscribers: Arc::clone(self), agent: agent.clone(), number, owed, due }
    }

    /// How long the agent has owed an acknowledgement that has owed one for longest. Whoever's stream has ended owes
    /// nothing.
    pub fn owed_for(&self) -> Option<Duration> {
        let agents = self.agents.lock();
        let since = agents.by_id.values().flat_map(BTreeMap::values).filter_map(|stream| *stream.owed.lock()).min();
        since.map(|since| since.elapsed())
    }

    /// What `agent` may see, complete as of the log index `at_least`, which this replica has applied.
    pub fn visible(&self, agent: &SpiffeId, at_least: u64) -> Arc<Visible> {
        let (roots, drawn) = {
            let state = self.replica.state().read();
            let roots = state.visible_roots(agent);
            let known = self.sets.lock().by_roots.get(&roots);
            if let Some(known) = known.filter(|known| known.index() >= at_least) {
                return known;
            }
            let drawn = Drawn::from(&state, &roots);
            (roots, drawn)
        };
        let fresh = drawn.finish();
        let mut sets = self.sets.lock();
        let set = match sets.by_hash.get(&fresh.hash) {
            Some(same) => {
                same.still_so_at(fresh.index());
                same
            }
            None => Arc::new(fresh),
        };
        sets.by_roots.put(roots, &set);
        sets.by_hash.put(set.hash, &set);
        set
    }

    /// The set that `hash` stands for, if some agent here holds it.
    pub fn set(&self, hash: &SetHash) -> Option<Arc<Visible>> {
        self.sets.lock().by_hash.get(hash)
    }

    fn applied_index(&self) -> u64 {
        self.replica.state().read().applied_index()
    }

    /// The state may be ahead of `applied`: what came since has events of its own.
    fn wake(&self, applied: &AppliedEvents) {
        let changes = || applied.events.iter().map(|event| &event.change);
        let (agents, due) = (self.agents.lock(), Due { index: applied.index, applied_at: Some(applied.at) });
        // Every set has the own bundle; others change seldom enough for everybody to have a look.
        if changes().any(|change| matches!(change, Change::Bundle { .. } | Change::Cluster)) {
            return agents.wake_all(due);
        }
        if changes().any(|change| matches!(change, Change::Agent { .. } | Change::Entry { .. })) {
            let state = self.replica.state().read();
            agents.wake_onlookers(&state, &Onlookers::of(&state, changes()), due);
        }
    }
}

impl Agents {
    fn wake_all(&self, to: Due) {
        self.by_id.values().flat_map(BTreeMap::values).for_each(|stream| raise(&stream.due, to));
    }

    fn wake_onlookers(&self, state: &State, onlookers: &Onlookers, to: Due) {
        for id in &onlookers.ids {
            self.by_id.get(id).into_iter().flat_map(BTreeMap::values).for_each(|stream| raise(&stream.due, to));
        }
        if onlookers.aliases.is_empty() {
            return;
        }
        for (id, streams) in &self.by_id {
            if state.agent(id).is_some_and(|record| onlookers.have_alias_of(record)) {
                streams.values().for_each(|stream| raise(&stream.due, to));
            }
        }
    }
}

fn raise(due: &watch::Sender<Due>, to: Due) {
    due.send_if_modified(|due| {
        let news = due.index < to.index;
        if news {
            *due = to;
        }
        news
    });
}

impl Subscription {
    /// For the metrics.
    pub fn owes_since(&self, since: Option<Instant>) {
        *self.owed.lock() = since;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut agents = self.subscribers.agents.lock();
        if let Some(streams) = agents.by_id.get_mut(&self.agent) {
            streams.remove(&self.number);
            if streams.is_empty() {
                agents.by_id.remove(&self.agent);
            }
        }
        metrics::push_agents(agents.by_id.len());
    }
}

impl<K: Hash + Eq> Weaks<K> {
    fn get(&self, key: &K) -> Option<Arc<Visible>> {
        self.known.get(key)?.upgrade()
    }

    fn put(&mut self, key: K, set: &Arc<Visible>) {
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, set| set.strong_count() > 0);
            self.sweep_at = (2 * self.known.len()).max(SWEEP_MIN);
        }
        self.known.insert(key, Arc::downgrade(set));
    }
}

impl<K> Default for Weaks<K> {
    fn default() -> Self {
        Self { known: HashMap::new(), sweep_at: SWEEP_MIN }
    }
}

const SWEEP_MIN: usize = 64;
