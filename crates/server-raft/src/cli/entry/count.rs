//! `entry count`.

use std::io::Write;

use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::{CountEntriesRequest, count_entries_request};
use steeple_cli::{Call, Failure};
use tonic::transport::Channel;

use super::filter::filter_from_flags;

pub(super) async fn count(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let filter = filter_from_flags(&call.values)?;
    let filter = count_entries_request::Filter {
        by_spiffe_id: filter.by_spiffe_id,
        by_parent_id: filter.by_parent_id,
        by_selectors: filter.by_selectors,
        by_federates_with: filter.by_federates_with,
        by_hint: filter.by_hint,
        by_downstream: filter.by_downstream,
    };
    let request = CountEntriesRequest { filter: Some(filter) };
    let response = EntryClient::new(channel).count_entries(request).await?.into_inner();
    call.print(&response, |streams, response| {
        let entries = if response.count == 1 { "entry" } else { "entries" };
        Ok(writeln!(streams.stdout, "{} registration {entries}", response.count)?)
    })
}
