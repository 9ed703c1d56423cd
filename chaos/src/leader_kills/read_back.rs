//! What a replica holds after the load.

use std::path::Path;

use steeple_api::server::entry::ListEntriesRequest;
use steeple_testkit::Admin;
use tonic::Request;

use super::history::Key;
use super::judge::ReadBack;

/// Small enough for the message limit whatever the entries hold.
const PAGE_ENTRIES: i32 = 1_000;

/// Reads all entries from one replica, page by page, and the state that it says to have.
pub(super) async fn read_back(socket: &Path) -> anyhow::Result<ReadBack> {
    let admin = Admin::at(socket);
    let mut read = ReadBack::default();
    let mut page_token = String::new();
    loop {
        let request = ListEntriesRequest { page_size: PAGE_ENTRIES, page_token, ..ListEntriesRequest::default() };
        let page = admin.entries().list_entries(Request::new(request)).await?.into_inner();
        for entry in page.entries {
            let id = entry.spiffe_id.unwrap_or_default();
            match Key::of_path(&id.path) {
                Some(key) => read.entries.entry(key).or_default().push(entry.id),
                None => read.strangers.push(format!("spiffe://{}{}", id.trust_domain, id.path)),
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let status = admin.status().await?;
    Ok(ReadBack { applied_index: status.applied_index, state_hash: status.state_hash, ..read })
}
