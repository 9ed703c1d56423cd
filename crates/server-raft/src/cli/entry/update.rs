//! `entry update`.

use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::{BatchUpdateEntryRequest, GetEntryRequest};
use steeple_api::types::Entry;
use steeple_api::types::entry::AdditionalAttributes;
use steeple_cli::{Call, Context, Failure, Values};
use tonic::transport::Channel;

use super::change::{check_ttls, entries_from_data, entry_from_flags, print_results};
use crate::cli::reply::is_ok;
use crate::cli::selectors::parse_id;

pub(super) async fn update(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let mut client = EntryClient::new(channel);
    let entries = match entries_from_data(call)? {
        Some(entries) => entries,
        None => {
            let mut entry = entry_of(&call.values)?;
            if let Some(given) = entry.additional_attributes {
                let request = GetEntryRequest { id: entry.id.clone(), output_mask: None };
                let existing = client.get_entry(request).await;
                let existing = existing.context("failed to fetch existing entry to merge additional attributes")?;
                entry.additional_attributes =
                    Some(merged(existing.into_inner().additional_attributes, given, &call.values));
            }
            vec![entry]
        }
    };
    let request = BatchUpdateEntryRequest { entries: entries.clone(), input_mask: None, output_mask: None };
    let mut response = client.batch_update_entry(request).await?.into_inner();
    for (result, entry) in response.results.iter_mut().zip(entries) {
        if !is_ok(result.status.as_ref()) {
            result.entry = Some(entry);
        }
    }
    call.print(&response, |streams, response| {
        let results = response.results.iter().map(|result| (result.status.as_ref(), result.entry.as_ref()));
        print_results(streams, "update", results)
    })
}

/// The attributes are one field for the server, so what the flags leave out has to be sent as it was.
fn merged(
    existing: Option<AdditionalAttributes>,
    given: AdditionalAttributes,
    values: &Values,
) -> AdditionalAttributes {
    let mut merged = existing.unwrap_or_default();
    if values.given("disableX509SVIDPrefetch") {
        merged.disable_x509_svid_prefetch = given.disable_x509_svid_prefetch;
    }
    if values.given("jwtSVIDIncludeJTI") {
        merged.jwt_svid_include_jti = given.jwt_svid_include_jti;
    }
    merged
}

fn entry_of(values: &Values) -> Result<Entry, Failure> {
    if values.text("entryID").is_empty() {
        return Err(Failure::message("entry ID is required"));
    }
    if values.texts("selector").is_empty() {
        return Err(Failure::message("at least one selector is required"));
    }
    if values.text("parentID").is_empty() {
        return Err(Failure::message("a parent ID is required"));
    }
    if values.text("spiffeID").is_empty() {
        return Err(Failure::message("a SPIFFE ID is required"));
    }
    check_ttls(values)?;
    let mut entry = entry_from_flags(values, |_| parse_id(values.text("parentID")).map_err(Failure::message))?;
    // A switch given as `=false` asks for a change, too.
    if values.given("disableX509SVIDPrefetch") || values.given("jwtSVIDIncludeJTI") {
        entry.additional_attributes.get_or_insert_default();
    }
    Ok(entry)
}
