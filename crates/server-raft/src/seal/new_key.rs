//! A new sealing key in a running cluster: what the leader does next, and what each replica does with its two files.
//! Pure, and made from the replicated state, so that a new leader goes on where the last one was.
//!
//! ```text
//!   keyring        x  ── asked for ──▶  x, one is wanted  ── made ──▶  x, y is offered  ── all keep y ──▶  y
//!   each replica   x                    x                              x and y                             y
//! ```
//!
//! A replica keeps the new key, and gives up the one that it has, only when its own state says so durably: a crash does
//! not take it back to where the file beside had no purpose, or the file that is gone was needed. So whatever stops in
//! whatever order, each opens the keyring that it has.

use steeple_ca::seal::NextSealingKey;

/// Ids of the keys in a replica's two files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptKeys {
    pub current: Option<String>,
    /// Beside it, to take its place.
    pub next: Option<String>,
}

/// What a replica does with its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// The file beside has lost its purpose.
    Discard,
    /// The offered key is to lie beside the one that it has.
    Keep,
    Nothing,
    /// The key beside is in force: it takes the other one's place.
    Promote,
}

/// One member, and how it stands to the offered key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberKey {
    pub node_id: u64,
    pub name: String,
    pub holding: Holding,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// It does not answer.
    Away,
    /// On its disk, under its own seal.
    Keeps,
    /// Why, as far as it said.
    NotYet(String),
    Sealed,
}

/// What the leader does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewKeyStep {
    /// There is none, or nobody has the one that is offered any more.
    Make,
    /// Every member keeps it: these.
    Replace {
        held_by: Vec<u64>,
    },
    Wait,
}

/// For a replica that can open the keyring with the key `in_force`. `opens` is what it has in memory.
pub fn upkeep(in_force: &str, offered: Option<&str>, kept: &KeptKeys, opens: impl Fn(&str) -> bool) -> Upkeep {
    let next = kept.next.as_deref();
    if next == Some(in_force) {
        return if kept.current.as_deref() == Some(in_force) { Upkeep::Discard } else { Upkeep::Promote };
    }
    match offered {
        Some(offered) if next == Some(offered) && opens(offered) => Upkeep::Nothing,
        Some(_) => Upkeep::Keep,
        None if next.is_some() => Upkeep::Discard,
        None => Upkeep::Nothing,
    }
}

/// `at_hand`: this leader has the offered key in memory, on its disk or not.
pub fn next_step(next: &NextSealingKey, members: &[MemberKey], at_hand: bool) -> NewKeyStep {
    let all = |holding: fn(&Holding) -> bool| members.iter().all(|member| holding(&member.holding));
    match next {
        NextSealingKey::Wanted => NewKeyStep::Make,
        // One that is away or sealed may have it.
        NextSealingKey::Offered(_) if !at_hand && all(|holding| matches!(holding, Holding::NotYet(_))) => {
            NewKeyStep::Make
        }
        NextSealingKey::Offered(_) if at_hand && all(|holding| *holding == Holding::Keeps) => {
            NewKeyStep::Replace { held_by: members.iter().map(|member| member.node_id).collect() }
        }
        NextSealingKey::Offered(_) => NewKeyStep::Wait,
    }
}

impl Holding {
    /// Why the change waits for the member; `None` when it does not.
    pub fn waits_because(&self) -> Option<String> {
        match self {
            Self::Keeps => None,
            Self::Away => Some("it does not answer".to_owned()),
            Self::Sealed => Some("it is sealed".to_owned()),
            Self::NotYet(problem) if problem.is_empty() => Some("it does not keep the key yet".to_owned()),
            Self::NotYet(problem) => Some(problem.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(holdings: &[Holding]) -> Vec<MemberKey> {
        let member = |(at, holding): (usize, &Holding)| MemberKey {
            node_id: at as u64 + 1,
            name: String::new(),
            holding: holding.clone(),
        };
        holdings.iter().enumerate().map(member).collect()
    }

    #[test]
    fn the_leader_waits_for_whoever_may_have_it_and_for_whoever_has_not() {
        let offered = NextSealingKey::Offered("y".to_owned());
        let step = |holdings: &[Holding], at_hand| next_step(&offered, &members(holdings), at_hand);
        let not_yet = Holding::NotYet(String::new());
        assert_eq!(next_step(&NextSealingKey::Wanted, &members(&[Holding::Away]), false), NewKeyStep::Make);
        assert_eq!(step(&[Holding::Keeps, Holding::Keeps], true), NewKeyStep::Replace { held_by: vec![1, 2] });
        for other in [Holding::Away, Holding::Sealed, not_yet.clone()] {
            assert_eq!(step(&[Holding::Keeps, other.clone()], true), NewKeyStep::Wait, "{other:?}");
            assert!(other.waits_because().is_some());
        }
        assert_eq!(Holding::Keeps.waits_because(), None);
        // Who made it was gone before anybody had it. It may be on the disk of one that is away.
        assert_eq!(step(&[not_yet.clone(), not_yet.clone()], false), NewKeyStep::Make);
        assert_eq!(step(&[not_yet.clone(), not_yet.clone()], true), NewKeyStep::Wait);
        assert_eq!(step(&[not_yet.clone(), Holding::Away], false), NewKeyStep::Wait);
        assert_eq!(step(&[not_yet, Holding::Sealed], false), NewKeyStep::Wait);
    }

    #[test]
    fn a_replica_gives_up_a_key_only_for_the_one_in_force() {
        let kept = |current: &str, next: &str| {
            let file = |id: &str| Some(id.to_owned()).filter(|id| !id.is_empty());
            KeptKeys { current: file(current), next: file(next) }
        };
        let at = |offered, kept: &KeptKeys| upkeep("x", offered, kept, |_| true);
        assert_eq!(at(None, &kept("x", "")), Upkeep::Nothing);
        assert_eq!(at(Some("y"), &kept("x", "")), Upkeep::Keep);
        assert_eq!(at(Some("y"), &kept("x", "y")), Upkeep::Nothing);
        assert_eq!(at(Some("y"), &kept("x", "z")), Upkeep::Keep, "an earlier one was given up");
        assert_eq!(at(None, &kept("x", "y")), Upkeep::Discard);
        assert_eq!(at(None, &kept("w", "x")), Upkeep::Promote);
        assert_eq!(at(Some("y"), &kept("w", "x")), Upkeep::Promote, "first what is in force");
        assert_eq!(at(None, &kept("x", "x")), Upkeep::Discard);
        assert_eq!(at(None, &kept("", "")), Upkeep::Nothing, "a file that was taken away");
        let closed = upkeep("x", Some("y"), &kept("x", "y"), |_| false);
        assert_eq!(closed, Upkeep::Keep, "what lies there and does not open is no key");
    }

    // === The whole change, in any order ===

    /// What the log says of the keyring after each entry. Keys are numbers.
    #[derive(Clone, Debug)]
    struct Ring {
        revision: u64,
        in_force: u32,
        next: Option<NextSealingKey>,
        members: usize,
    }

    #[derive(Clone, Debug, Default)]
    struct Node {
        current: Option<String>,
        next: Option<String>,
        /// Ids in memory; empty while it is down.
        memory: Vec<String>,
        /// How much of the log it has applied, and how much of that outlives a crash.
        applied: usize,
        durable: usize,
        up: bool,
        /// What it said last, of how much of the log.
        said: Option<KeptKeys>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Apply(usize),
        Ask,
        Cancel,
        Crash(usize),
        Join,
        /// The replica that leads decides from its own state and from what the others said last.
        Lead(usize),
        Report(usize),
        Start(usize),
        Upkeep(usize),
        /// It starts, catches up and does what there is to do, so that a change gets somewhere.
        Work(usize),
    }

    fn event() -> impl Strategy<Value = Event> {
        let node = || 0usize..4;
        prop_oneof![
            4 => node().prop_map(Event::Apply),
            2 => Just(Event::Ask),
            1 => Just(Event::Cancel),
            2 => node().prop_map(Event::Crash),
            1 => Just(Event::Join),
            6 => node().prop_map(Event::Lead),
            4 => node().prop_map(Event::Report),
            4 => node().prop_map(Event::Start),
            4 => node().prop_map(Event::Upkeep),
            9 => node().prop_map(Event::Work),
        ]
    }

    struct World {
        log: Vec<Ring>,
        nodes: Vec<Node>,
        made: u32,
        replaced: u32,
    }

    impl World {
        fn new() -> Self {
            let node = Node {
                current: Some("0".to_owned()),
                memory: vec!["0".to_owned()],
                applied: 1,
                durable: 1,
                up: true,
                ..Node::default()
            };
            Self {
                log: vec![Ring { revision: 1, in_force: 0, next: None, members: 3 }],
                nodes: vec![node; 3],
                made: 0,
                replaced: 0,
            }
        }

        fn last(&self) -> Ring {
            self.log.last().cloned().expect("a cluster was founded")
        }

        /// The keyring as the replica at `at` knows it.
        fn seen(&self, at: usize) -> &Ring {
            &self.log[self.nodes[at].applied - 1]
        }

        /// Compare and set: `from` is how much of the log whoever proposes has seen.
        fn propose(&mut self, from: usize, ring: Ring) {
            let Ring { revision, members, .. } = self.last();
            if self.log[from - 1].revision == revision {
                self.log.push(Ring { revision: revision + 1, members, ..ring });
            }
        }

        fn happens(&mut self, event: Event) {
            match event {
                Event::Ask if self.last().next.is_none() => {
                    self.propose(self.log.len(), Ring { next: Some(NextSealingKey::Wanted), ..self.last() });
                }
                Event::Cancel => self.propose(self.log.len(), Ring { next: None, ..self.last() }),
                Event::Join if self.nodes.len() < 4 => {
                    // It proved to have the key in force, which the leader saw before and after.
                    let id = self.last().in_force.to_string();
                    let members = self.last().members + 1;
                    self.log.push(Ring { members, ..self.last() });
                    let applied = self.log.len();
                    let (current, memory) = (Some(id.clone()), vec![id]);
                    self.nodes.push(Node { current, memory, applied, durable: applied, up: true, ..Node::default() });
                }
                Event::Apply(at)
                | Event::Crash(at)
                | Event::Report(at)
                | Event::Start(at)
                | Event::Upkeep(at)
                | Event::Work(at)
                    if at >= self.nodes.len() => {}
                Event::Apply(at) => {
                    let node = &mut self.nodes[at];
                    if node.up && node.applied < self.log.len() {
                        node.applied += 1;
                    }
                }
                Event::Crash(at) => {
                    let node = &mut self.nodes[at];
                    (node.up, node.applied) = (false, node.durable);
                    node.memory.clear();
                }
                Event::Start(at) if !self.nodes[at].up => {
                    let node = &mut self.nodes[at];
                    node.up = true;
                    node.memory = [&node.current, &node.next].into_iter().flatten().cloned().collect();
                }
                Event::Report(at) => {
                    let node = &mut self.nodes[at];
                    let kept = KeptKeys { current: node.current.clone(), next: node.next.clone() };
                    node.said = Some(kept).filter(|_| node.up);
                }
                Event::Upkeep(at) if self.nodes[at].up => self.upkeep(at),
                Event::Work(at) => {
                    self.happens(Event::Start(at));
                    while self.nodes[at].applied < self.log.len() {
                        self.happens(Event::Apply(at));
                    }
                    self.happens(Event::Upkeep(at));
                    self.happens(Event::Report(at));
                }
                Event::Lead(at) if at < self.nodes.len() && self.nodes[at].up => self.lead(at),
                Event::Ask | Event::Join | Event::Start(_) | Event::Upkeep(_) | Event::Lead(_) => {}
            }
        }

        fn upkeep(&mut self, at: usize) {
            let Ring { in_force, next, .. } = self.seen(at).clone();
            let offered = next.as_ref().and_then(NextSealingKey::id).map(str::to_owned);
            let others: Vec<String> = self.nodes.iter().flat_map(|node| node.memory.clone()).collect();
            let node = &mut self.nodes[at];
            let kept = KeptKeys { current: node.current.clone(), next: node.next.clone() };
            match super::upkeep(&in_force.to_string(), offered.as_deref(), &kept, |id| {
                node.memory.contains(&id.to_owned())
            }) {
                Upkeep::Nothing => {}
                Upkeep::Discard => node.next = None,
                Upkeep::Keep => {
                    let offered = offered.expect("it is offered");
                    if others.contains(&offered) {
                        // What it acts on is durable first.
                        node.durable = node.applied;
                        node.memory.push(offered.clone());
                        node.next = Some(offered);
                    }
                }
                Upkeep::Promote => {
                    node.durable = node.applied;
                    node.current = node.next.take();
                }
            }
        }

        fn lead(&mut self, at: usize) {
            let ring = self.seen(at).clone();
            let Some(next) = &ring.next else { return };
            let holding = |(id, node): (usize, &Node)| match (&node.said, next.id()) {
                _ if !node.up && id != at => Holding::Away,
                (Some(said), Some(offered)) if said.next.as_deref() == Some(offered) => Holding::Keeps,
                _ => Holding::NotYet(String::new()),
            };
            let known = self.nodes.iter().enumerate().take(ring.members);
            let members = members(&known.map(holding).collect::<Vec<_>>());
            let at_hand = next.id().is_some_and(|id| self.nodes[at].memory.contains(&id.to_owned()));
            let from = self.nodes[at].applied;
            match next_step(next, &members, at_hand) {
                NewKeyStep::Wait => {}
                NewKeyStep::Make => {
                    self.made += 1;
                    let id = self.made.to_string();
                    self.nodes[at].memory.push(id.clone());
                    self.propose(from, Ring { next: Some(NextSealingKey::Offered(id)), ..ring });
                }
                NewKeyStep::Replace { held_by } => {
                    // The state refuses while somebody joined meanwhile.
                    if held_by.len() >= self.last().members {
                        let in_force = next.id().and_then(|id| id.parse().ok()).expect("a number");
                        let before = self.log.len();
                        self.propose(from, Ring { in_force, next: None, ..ring });
                        self.replaced += u32::from(self.log.len() > before);
                    }
                }
            }
        }

        /// Each replica opens the keyring that it has on its disk, and the one that it has applied.
        fn check(&self) {
            for (at, node) in self.nodes.iter().enumerate() {
                for index in [node.durable, node.applied] {
                    let id = Some(self.log[index - 1].in_force.to_string());
                    let opens = node.current == id || node.next == id;
                    assert!(opens, "replica {at} needs {id:?} and has {node:?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn no_order_of_crashes_and_reports_leaves_a_replica_that_opens_nothing(
            events in prop::collection::vec(event(), 0..400),
        ) {
            let mut world = World::new();
            for event in events {
                world.happens(event);
                world.check();
            }
            // Once everybody is up and heard, what is under way comes to its end.
            world.happens(Event::Ask);
            let before = world.replaced;
            for _ in 0..8 {
                for at in 0..world.nodes.len() {
                    world.happens(Event::Work(at));
                    world.check();
                }
                world.happens(Event::Lead(0));
            }
            prop_assert!(world.last().next.is_none() && world.replaced > before, "{:?}", world.last());
            let in_force = Some(world.last().in_force.to_string());
            for node in &world.nodes {
                prop_assert_eq!((&node.current, &node.next), (&in_force, &None));
            }
        }
    }
}
