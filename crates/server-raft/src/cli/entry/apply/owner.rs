//! Whose an entry is, by its ID: the one field that clients choose and that means nothing else.

use aws_lc_rs::digest::{SHA256, digest};
use steeple_api::types::Entry;

use super::plan::Key;

/// The name of a set of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    prefix: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("-owner {0:?} is no name: use 1 to {OWNER_BYTES_MAX} letters, digits and dashes")]
pub(super) struct NoOwner(String);

const OWNER_BYTES_MAX: usize = 64;
/// Of the hash, which tells apart the entries of one owner.
const HASH_BYTES: usize = 16;

impl Owner {
    /// Without dots, so that no owner's prefix begins another's.
    pub(super) fn parse(name: &str) -> Result<Self, NoOwner> {
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if name.is_empty() || name.len() > OWNER_BYTES_MAX || !is_name(name) {
            return Err(NoOwner(name.to_owned()));
        }
        Ok(Self { prefix: format!("apply.{name}.") })
    }

    pub(super) fn owns(&self, entry: &Entry) -> bool {
        entry.id.starts_with(&self.prefix)
    }

    /// The ID of an entry that names none: the same at each run.
    pub(super) fn id(&self, key: &Key) -> String {
        // Debug quotes the texts, so that no two keys are written alike.
        let hash = digest(&SHA256, format!("{key:?}").as_bytes());
        format!("{}{}", self.prefix, hex::encode(&hash.as_ref()[..HASH_BYTES]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_a_name_and_owns_its_prefix() {
        for name in ["", "a.b", "a b", "ä", &"x".repeat(OWNER_BYTES_MAX + 1)] {
            assert_eq!(Owner::parse(name), Err(NoOwner(name.to_owned())));
        }
        let owner = Owner::parse("team-a").unwrap();
        let entry = |id: &str| Entry { id: id.to_owned(), ..Entry::default() };
        let key = Key::default();
        assert!(owner.owns(&entry(&owner.id(&key))));
        assert!(!owner.owns(&entry("apply.team-a")) && !owner.owns(&entry(&Owner::parse("team").unwrap().id(&key))));
    }
}
