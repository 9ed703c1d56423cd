//! `entry show`.

use std::io::Write;

use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::{GetEntryRequest, ListEntriesResponse};
use steeple_api::types::Entry;
use steeple_cli::{Call, Context, Failure, Flag};
use tonic::transport::Channel;

use super::filter::filter_from_flags;
use super::pages::fetch_all;
use super::print::print_entry;
use crate::cli::reply::plural;
use crate::cli::selectors::id_text;

pub(super) const FLAGS: &[Flag] = &[Flag::text("entryID", "Only the entry with this ID")];

pub(super) async fn show(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let mut client = EntryClient::new(channel);
    let mut entries = match call.values.text_if_any("entryID").map(str::to_owned) {
        Some(id) => vec![by_id(call, &mut client, id).await?],
        None => fetch_all(&mut client, &filter_from_flags(&call.values)?).await?,
    };
    for entry in &mut entries {
        entry.selectors.sort_by(|a, b| (&a.r#type, &a.value).cmp(&(&b.r#type, &b.value)));
    }
    entries.sort_by_cached_key(|entry| {
        (id_text(entry.spiffe_id.as_ref()), id_text(entry.parent_id.as_ref()), entry.id.clone())
    });
    let response = ListEntriesResponse { entries, next_page_token: String::new() };
    call.print(&response, |streams, response| {
        let count = response.entries.len();
        writeln!(streams.stdout, "Found {count} {}", plural(count, "entry", "entries"))?;
        response.entries.iter().try_for_each(|entry| Ok(print_entry(&mut streams.stdout, entry)?))
    })
}

async fn by_id(call: &Call, client: &mut EntryClient<Channel>, id: String) -> Result<Entry, Failure> {
    let values = &call.values;
    let others = [values.text("parentID"), values.text("spiffeID")].iter().any(|text| !text.is_empty());
    if others || !values.texts("selector").is_empty() {
        return Err(Failure::message("the -entryID flag can't be combined with others"));
    }
    let context = format!("error fetching entry ID {id}");
    let entry = client.get_entry(GetEntryRequest { id, output_mask: None }).await.context(context)?;
    Ok(entry.into_inner())
}
