//! All entries of a list that comes in pages.

use steeple_api::server::entry::ListEntriesRequest;
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::list_entries_request::Filter;
use steeple_api::types::Entry;
use steeple_cli::{Context, Failure};
use tonic::transport::Channel;

/// A page of entries of 2 KiB, which is a large one, stays well below the 4 MiB that a message may have.
const PAGE_ENTRIES: i32 = 500;

pub(in crate::cli) async fn fetch_all(
    client: &mut EntryClient<Channel>,
    filter: &Filter,
) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            ListEntriesRequest { filter: Some(filter.clone()), output_mask: None, page_size: PAGE_ENTRIES, page_token };
        let page = client.list_entries(request).await.context("error fetching entries")?.into_inner();
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(entries);
        }
    }
}
