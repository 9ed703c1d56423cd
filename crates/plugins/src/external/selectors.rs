//! What a plugin says of a node or a process.

use steeple_core::{Selector, SelectorError};

use super::bounds::SELECTORS_MAX;

/// Why none of it is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("more than {SELECTORS_MAX} selectors")]
    TooMany,
    #[error(transparent)]
    Invalid(#[from] SelectorError),
}

/// Their type is the plugin's name.
pub(super) fn selectors<C: FromIterator<Selector>>(name: &str, values: Vec<String>) -> Result<C, Unusable> {
    if values.len() > SELECTORS_MAX {
        return Err(Unusable::TooMany);
    }
    values.into_iter().map(|value| Selector::new(name, value).map_err(Unusable::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_counted_and_have_values() {
        let named = |values: Vec<String>| selectors::<Vec<Selector>>("mine", values);
        let many = |count| vec!["x".to_owned(); count];
        assert_eq!(named(many(SELECTORS_MAX)).unwrap().len(), SELECTORS_MAX);
        assert_eq!(named(many(SELECTORS_MAX + 1)), Err(Unusable::TooMany));
        assert_eq!(named(vec![String::new()]), Err(Unusable::Invalid(SelectorError::MissingValue)));
    }
}
