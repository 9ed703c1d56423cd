//! Searches the states of a model, breadth first.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::Mutant;

/// A model with faults that can be planted into it.
pub trait Scenario: Model<State: Clone + Debug + Hash + PartialEq, Action: Clone + Debug + PartialEq> {
    type Fault: Copy + Debug + Send + Sync + 'static;

    const NAME: &'static str;
    const MUTANTS: &'static [Mutant<Self::Fault>];

    /// Without a fault: as the project is.
    fn new(fault: Option<Self::Fault>) -> Self;

    /// Different snapshots of the real machine that were come by.
    fn snapshots(&self) -> usize;
}

/// A property that holds where it must not, or the reverse, with the shortest way there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub property: &'static str,
    /// One action on each line.
    pub way: Vec<String>,
}

/// What a search through all states came to.
#[derive(Clone, Debug)]
pub struct Report {
    pub name: &'static str,
    pub states: usize,
    /// Steps from one state to another, those to known states included.
    pub steps: usize,
    /// Actions on the longest of the shortest ways to a state.
    pub depth: usize,
    pub snapshots: usize,
    pub took: Duration,
    /// Promises that are broken.
    pub broken: Vec<Found>,
    /// Situations that the model was made for and never comes to.
    pub unreached: Vec<&'static str>,
    /// Situations that it does come to.
    pub reached: Vec<Found>,
}

/// Visits every state.
pub fn check<S>() -> Report
where
    S: Scenario + Send + Sync + 'static,
    S::State: Send + Sync,
{
    let began = Instant::now();
    let checker = S::new(None).checker().spawn_bfs().join();
    let took = began.elapsed();
    let found = |expectation: Expectation| {
        let properties = checker.model().properties().into_iter();
        let names: BTreeSet<_> =
            properties.filter(|property| property.expectation == expectation).map(|property| property.name).collect();
        let discoveries = checker.discoveries().into_iter().filter(|(name, _)| names.contains(name));
        let mut found: Vec<Found> =
            discoveries.map(|(property, path)| Found::new(property, path.into_actions())).collect();
        found.sort_by_key(|found| found.property);
        (names, found)
    };
    let ((_, broken), (sometimes, reached)) = (found(Expectation::Always), found(Expectation::Sometimes));
    let unreached = sometimes.into_iter().filter(|name| reached.iter().all(|found| found.property != *name)).collect();
    Report {
        name: S::NAME,
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth().saturating_sub(1),
        snapshots: checker.model().snapshots(),
        took,
        broken,
        unreached,
        reached,
    }
}

/// Looks for the property that a mutant breaks; `None` when it breaks none.
pub fn hunt<S>(mutant: &Mutant<S::Fault>) -> Option<Found>
where
    S: Scenario + Send + Sync + 'static,
    S::State: Send + Sync,
{
    let until = HasDiscoveries::AnyOf(BTreeSet::from([mutant.finds]));
    let checker = S::new(Some(mutant.fault)).checker().finish_when(until).spawn_bfs().join();
    let path = checker.discovery(mutant.finds)?;
    Some(Found::new(mutant.finds, path.into_actions()))
}

impl Found {
    fn new(property: &'static str, actions: Vec<impl Debug>) -> Self {
        Self { property, way: actions.iter().map(|action| format!("{action:?}")).collect() }
    }
}

impl Report {
    /// Whether every promise is kept, in situations that were come to.
    pub fn is_good(&self) -> bool {
        self.broken.is_empty() && self.unreached.is_empty() && !self.reached.is_empty()
    }
}
