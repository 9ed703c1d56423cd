//! Registration entries as tests need them.

use steeple_api::types;

/// The selector that matches every process of the caller's user.
pub fn own_uid_selector() -> types::Selector {
    types::Selector { r#type: "unix".to_owned(), value: format!("uid:{}", nix::unistd::Uid::effective()) }
}

/// `id` is the entry's id: an agent orders identities by it, and a workload's default is the first.
pub fn workload_entry(id: &str, parent: &types::Spiffeid, path: &str, selectors: Vec<types::Selector>) -> types::Entry {
    types::Entry {
        id: id.to_owned(),
        spiffe_id: Some(types::Spiffeid { trust_domain: parent.trust_domain.clone(), path: path.to_owned() }),
        parent_id: Some(parent.clone()),
        selectors,
        ..types::Entry::default()
    }
}
