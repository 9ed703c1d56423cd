//! `entry create`.

use steeple_api::server::entry::BatchCreateEntryRequest;
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::types::{Entry, Spiffeid};
use steeple_cli::{Call, Failure, Flag, Values};
use tonic::transport::Channel;

use super::change::{check_ttls, entries_from_data, entry_from_flags, print_results};
use crate::cli::reply::is_ok;
use crate::cli::selectors::parse_id;

pub(super) const FLAGS: &[Flag] =
    &[Flag::bool("node", "The entry names nodes, by selectors of their attestation, rather than workloads")];

pub(super) async fn create(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let entries = match entries_from_data(call)? {
        Some(entries) => entries,
        None => vec![entry_of(&call.values)?],
    };
    let request = BatchCreateEntryRequest { entries: entries.clone(), output_mask: None };
    let mut response = EntryClient::new(channel).batch_create_entry(request).await?.into_inner();
    // The server sends no entry with a failure; people want to see which one it was.
    for (result, entry) in response.results.iter_mut().zip(entries) {
        if !is_ok(result.status.as_ref()) {
            result.entry = Some(entry);
        }
    }
    call.print(&response, |streams, response| {
        let results = response.results.iter().map(|result| (result.status.as_ref(), result.entry.as_ref()));
        print_results(streams, "create", results)
    })
}

fn entry_of(values: &Values) -> Result<Entry, Failure> {
    let node = values.bool("node");
    if values.texts("selector").is_empty() {
        return Err(Failure::message("at least one selector is required"));
    }
    if node && !values.texts("federatesWith").is_empty() {
        return Err(Failure::message("node entries can not federate"));
    }
    if values.text("parentID").is_empty() && !node {
        return Err(Failure::message("a parent ID is required if the node flag is not set"));
    }
    if values.text("spiffeID").is_empty() {
        return Err(Failure::message("a SPIFFE ID is required"));
    }
    check_ttls(values)?;
    entry_from_flags(values, |spiffe_id| {
        if node {
            let trust_domain = spiffe_id.trust_domain.clone();
            return Ok(Spiffeid { trust_domain, path: "/spire/server".to_owned() });
        }
        parse_id(values.text("parentID")).map_err(Failure::message)
    })
}
