//! What the replicas hold after the load.

use std::path::PathBuf;

use anyhow::Context as _;

use steeple_api::server::entry::ListEntriesRequest;
use steeple_testkit::{Admin, states_at_one_index};
use tonic::Request;

use super::history::Key;
use super::judge::ReadBack;

/// Small enough for the message limit whatever the entries hold.
const PAGE_ENTRIES: i32 = 1_000;

/// Reads all entries from each replica, and then the states that they say to have at one index.
pub(super) async fn read_back(sockets: &[PathBuf]) -> anyhow::Result<Vec<ReadBack>> {
    let admins: Vec<Admin> = sockets.iter().map(|socket| Admin::at(socket)).collect();
    let mut replicas = Vec::with_capacity(admins.len());
    for (admin, socket) in admins.iter().zip(sockets) {
        replicas.push(entries(admin).await.with_context(|| socket.display().to_string())?);
    }
    for (read, state) in replicas.iter_mut().zip(states_at_one_index(&admins).await?) {
        read.applied_index = state.applied_index;
        read.state_hash = state.state_hash;
    }
    Ok(replicas)
}

/// All entries of one replica, page by page.
async fn entries(admin: &Admin) -> anyhow::Result<ReadBack> {
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
            return Ok(read);
        }
    }
}
