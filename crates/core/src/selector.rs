//! Selectors and sets of them, with the four ways in which SPIRE compares sets.

use std::fmt;

/// `kind:value`, for instance `unix:uid:1000`. SPIRE calls the kind "type".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    pub kind: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error("missing selector type")]
    MissingKind,
    #[error("selector type contains ':'")]
    ColonInKind,
    #[error("missing selector value")]
    MissingValue,
}

/// A sorted set without duplicates. Small vectors beat hash sets at the sizes that occur (a few to a few dozen).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SelectorSet(Vec<Selector>);

/// How a record's set is compared with a filter's set (`spire.api.types.SelectorMatch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchBehavior {
    /// The sets are equal.
    Exact,
    /// The record's set lies within the filter's.
    Subset,
    /// The record's set holds all of the filter's.
    Superset,
    /// The sets share an element.
    Any,
}

impl Selector {
    pub fn new(kind: impl Into<String>, value: impl Into<String>) -> Result<Self, SelectorError> {
        let (kind, value) = (kind.into(), value.into());
        if kind.is_empty() {
            return Err(SelectorError::MissingKind);
        }
        if kind.contains(':') {
            return Err(SelectorError::ColonInKind);
        }
        if value.is_empty() {
            return Err(SelectorError::MissingValue);
        }
        Ok(Self { kind, value })
    }
}

impl SelectorSet {
    pub fn iter(&self) -> std::slice::Iter<'_, Selector> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, selector: &Selector) -> bool {
        self.0.binary_search(selector).is_ok()
    }

    pub fn is_subset(&self, of: &SelectorSet) -> bool {
        self.0.iter().all(|selector| of.contains(selector))
    }

    /// Whether `self`, a record's set, satisfies a filter.
    pub fn matches(&self, how: MatchBehavior, filter: &SelectorSet) -> bool {
        match how {
            MatchBehavior::Exact => self == filter,
            MatchBehavior::Subset => self.is_subset(filter),
            MatchBehavior::Superset => filter.is_subset(self),
            MatchBehavior::Any => self.0.iter().any(|selector| filter.contains(selector)),
        }
    }

    pub fn as_slice(&self) -> &[Selector] {
        &self.0
    }

    pub fn into_vec(self) -> Vec<Selector> {
        self.0
    }
}

impl FromIterator<Selector> for SelectorSet {
    fn from_iter<I: IntoIterator<Item = Selector>>(items: I) -> Self {
        let mut items: Vec<Selector> = items.into_iter().collect();
        items.sort_unstable();
        items.dedup();
        Self(items)
    }
}

impl<'a> IntoIterator for &'a SelectorSet {
    type Item = &'a Selector;
    type IntoIter = std::slice::Iter<'a, Selector>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str]) -> SelectorSet {
        values.iter().map(|value| Selector::new("t", *value).unwrap()).collect()
    }

    #[test]
    fn the_four_matches() {
        let record = set(&["a", "b"]);
        assert!(record.matches(MatchBehavior::Exact, &set(&["b", "a", "a"])));
        assert!(record.matches(MatchBehavior::Subset, &set(&["a", "b", "c"])));
        assert!(!record.matches(MatchBehavior::Subset, &set(&["a"])));
        assert!(record.matches(MatchBehavior::Superset, &set(&["a"])));
        assert!(record.matches(MatchBehavior::Any, &set(&["b", "z"])));
        assert!(!record.matches(MatchBehavior::Any, &set(&["z"])));
    }

    #[test]
    fn a_selector_has_a_kind_without_colon_and_a_value() {
        assert_eq!(Selector::new("", "x"), Err(SelectorError::MissingKind));
        assert_eq!(Selector::new("a:b", "x"), Err(SelectorError::ColonInKind));
        assert_eq!(Selector::new("a", ""), Err(SelectorError::MissingValue));
    }
}
