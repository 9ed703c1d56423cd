//! What was acknowledged is there.

use std::collections::HashSet;

use anyhow::ensure;
use steeple_api::server::entry::ListEntriesRequest;
use steeple_api::types;
use steeple_testkit::Admin;

use crate::report::Gate;

/// Every acknowledged id has to be found in one listing of everything.
pub(crate) async fn read_back(admin: &Admin, acknowledged: &[String]) -> anyhow::Result<Gate> {
    let found = listing(admin, PAGE_ENTRIES, |_| {}).await?;
    Ok(gate(acknowledged, &found))
}

/// The ids of all entries, page by page; `page` hears of each. An id on two pages is an error.
pub(crate) async fn listing(
    admin: &Admin,
    page_entries: i32,
    mut page: impl FnMut(usize),
) -> anyhow::Result<HashSet<String>> {
    let (mut found, mut page_token) = (HashSet::new(), String::new());
    let mut client = admin.entries().max_decoding_message_size(PAGE_BYTES_MAX);
    loop {
        let request = ListEntriesRequest { page_size: page_entries, page_token, ..ListEntriesRequest::default() };
        let listed = client.list_entries(request).await?.into_inner();
        page(listed.entries.len());
        for types::Entry { id, .. } in listed.entries {
            ensure!(found.insert(id.clone()), "entry {id} was listed twice");
        }
        page_token = listed.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

fn gate(acknowledged: &[String], found: &HashSet<String>) -> Gate {
    let lost: Vec<&String> = acknowledged.iter().filter(|id| !found.contains(*id)).collect();
    let first = lost.first().map_or(String::new(), |first| format!("; the first: {first}"));
    let detail = format!("{} acknowledged, {} lost{first}", acknowledged.len(), lost.len());
    Gate::new("acknowledged writes read back", lost.is_empty() && !acknowledged.is_empty(), detail)
}

/// Small enough for the message limit whatever the entries hold.
pub(crate) const PAGE_ENTRIES: i32 = 1_000;
const PAGE_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lost_write_breaks_the_gate() {
        let found: HashSet<String> = ["a", "b"].map(str::to_owned).into();
        assert!(gate(&["a".to_owned()], &found).passed);
        let broken = gate(&["a".to_owned(), "c".to_owned()], &found);
        assert!(!broken.passed && broken.detail == "2 acknowledged, 1 lost; the first: c", "{broken:?}");
        assert!(!gate(&[], &found).passed, "nothing written proves nothing");
    }
}
