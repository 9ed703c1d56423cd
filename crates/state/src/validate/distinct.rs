//! What an entry may name only once. SPIRE's database says so; its code and text are what clients see.

use std::collections::BTreeSet;

use steeple_core::Selector;

use super::Action;
use crate::{Code, Rejection};

/// `selectors` as the client sent them: an entry's set cannot tell that one came twice.
pub fn distinct(selectors: &[Selector], dns_names: &[String], action: Action) -> Result<(), Rejection> {
    if has_repetition(selectors) {
        let columns = "selectors.registered_entry_id, selectors.type, selectors.value";
        return Err(not_unique(columns, action));
    }
    if has_repetition(dns_names) {
        return Err(not_unique("dns_names.registered_entry_id, dns_names.value", action));
    }
    Ok(())
}

fn has_repetition<T: Ord>(items: &[T]) -> bool {
    items.iter().collect::<BTreeSet<_>>().len() < items.len()
}

fn not_unique(columns: &str, action: Action) -> Rejection {
    let message = format!("failed to {action} entry: datastore-sql: UNIQUE constraint failed: {columns}");
    Rejection::new(Code::AlreadyExists, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_before_dns_names() {
        let selector = |value: &str| Selector::new("unix", value).unwrap();
        let names = |names: [&str; 2]| names.map(str::to_owned);
        let (once, twice) = ([selector("uid:2"), selector("uid:1")], [selector("uid:1"), selector("uid:1")]);
        assert_eq!(distinct(&once, &names(["a.test", "A.test"]), Action::Create), Ok(()));
        let refused = distinct(&twice, &names(["a.test", "a.test"]), Action::Update).unwrap_err();
        assert_eq!(refused.code, Code::AlreadyExists);
        assert_eq!(
            refused.message,
            "failed to update entry: datastore-sql: UNIQUE constraint failed: selectors.registered_entry_id, \
             selectors.type, selectors.value"
        );
        let refused = distinct(&once, &names(["a.test", "a.test"]), Action::Create).unwrap_err();
        assert_eq!(
            refused.message,
            "failed to create entry: datastore-sql: UNIQUE constraint failed: dns_names.registered_entry_id, \
             dns_names.value"
        );
    }
}
