//! `entry show`.

use std::cmp::Ordering;
use std::io::Write;

use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::{GetEntryRequest, ListEntriesResponse};
use steeple_api::types::{Entry, Selector, Spiffeid};
use steeple_cli::{Call, Context, Failure, Flag};
use tonic::transport::Channel;

use super::filter::filter_from_flags;
use super::pages::fetch_all;
use super::print::print_entry;
use crate::cli::reply::plural;

pub(super) const FLAGS: &[Flag] = &[Flag::text("entryID", "Only the entry with this ID")];

pub(super) async fn show(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let mut client = EntryClient::new(channel);
    let mut entries = match call.values.text_if_any("entryID").map(str::to_owned) {
        Some(id) => vec![by_id(call, &mut client, id).await?],
        None => fetch_all(&mut client, &filter_from_flags(&call.values)?).await?,
    };
    sort(&mut entries);
    let response = ListEntriesResponse { entries, next_page_token: String::new() };
    call.print(&response, |streams, response| {
        let count = response.entries.len();
        writeln!(streams.stdout, "Found {count} {}", plural(count, "entry", "entries"))?;
        response.entries.iter().try_for_each(|entry| Ok(print_entry(&mut streams.stdout, entry)?))
    })
}

/// In SPIRE's order; by entry ID where that leaves a choice.
fn sort(entries: &mut [Entry]) {
    let by_text = |a: &Selector, b: &Selector| (&a.r#type, &a.value).cmp(&(&b.r#type, &b.value));
    for entry in entries.iter_mut() {
        entry.selectors.sort_by(by_text);
    }
    let id = |id: &Option<Spiffeid>| id.clone().map(|id| (id.trust_domain, id.path));
    let key = |entry: &Entry| {
        let ids = (id(&entry.spiffe_id), id(&entry.parent_id));
        (ids, entry.x509_svid_ttl, entry.jwt_svid_ttl, entry.selectors.len())
    };
    entries.sort_by(|a, b| {
        let of_selectors = || {
            let pairs = a.selectors.iter().zip(&b.selectors);
            pairs.map(|(a, b)| by_text(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        key(a).cmp(&key(b)).then_with(of_selectors).then_with(|| a.id.cmp(&b.id))
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_in_spires_order() {
        let id = |trust_domain: &str, path: &str| {
            Some(Spiffeid { trust_domain: trust_domain.to_owned(), path: path.to_owned() })
        };
        let selectors = |values: &[&str]| {
            values.iter().map(|value| Selector { r#type: "unix".to_owned(), value: (*value).to_owned() }).collect()
        };
        let plain = |number: &str, values: &[&str]| Entry {
            id: number.to_owned(),
            spiffe_id: id("td", "/a"),
            parent_id: id("td", "/p"),
            selectors: selectors(values),
            ..Entry::default()
        };
        let sorted = [
            Entry { spiffe_id: id("td", "/A"), ..plain("9", &["z"]) },
            Entry { parent_id: id("td", "/b"), x509_svid_ttl: 9, ..plain("8", &["z"]) },
            plain("7", &["z"]),
            plain("3", &["y", "b"]),
            plain("1", &["c", "b"]),
            plain("2", &["b", "c"]),
            Entry { jwt_svid_ttl: 1, ..plain("0", &["a"]) },
            Entry { x509_svid_ttl: 1, ..plain("5", &["a"]) },
            Entry { spiffe_id: id("td.test", "/A"), ..plain("6", &["a"]) },
        ];
        let mut entries: Vec<Entry> = sorted.iter().rev().cloned().collect();
        sort(&mut entries);
        let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["9", "8", "7", "1", "2", "3", "0", "5", "6"]);
    }
}
