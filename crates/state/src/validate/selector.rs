//! Selector lists as clients send them.

use steeple_core::{Selector, SelectorSet};

use super::Action;
use crate::{Code, Rejection};

/// A list with a selector twice is refused, with the code and text of SPIRE's database constraint, which clients see.
pub fn distinct_selectors(selectors: Vec<Selector>, action: Action) -> Result<SelectorSet, Rejection> {
    let given = selectors.len();
    let set: SelectorSet = selectors.into_iter().collect();
    if set.len() == given {
        return Ok(set);
    }
    Err(Rejection::new(
        Code::AlreadyExists,
        format!(
            "failed to {action} entry: datastore-sql: UNIQUE constraint failed: selectors.registered_entry_id, \
             selectors.type, selectors.value"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_selector_is_refused() {
        let selector = |value: &str| Selector::new("unix", value).unwrap();
        let set = distinct_selectors(vec![selector("uid:2"), selector("uid:1")], Action::Create).unwrap();
        assert_eq!(set.len(), 2);
        let refused = distinct_selectors(vec![selector("uid:1"), selector("uid:1")], Action::Update).unwrap_err();
        assert_eq!(refused.code, Code::AlreadyExists);
        assert!(refused.message.starts_with("failed to update entry: "), "{refused}");
    }
}
