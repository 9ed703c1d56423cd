//! `entry watch`. Ours, SPIRE has nothing like it.

use std::io::{self, Write};

use steeple_api::steeple::server::entries_client::EntriesClient;
use steeple_api::steeple::server::{EntryChange, WatchEntriesRequest, WatchEntriesResponse, entry_change};
use steeple_cli::{Call, Failure, Flag};
use tonic::transport::Channel;

use super::filter::filter_from_flags;
use super::print::print_entry;

pub(super) const FLAGS: &[Flag] = &[Flag::int(
    "afterIndex",
    0,
    "A log index, as an earlier run printed it: begin with the first change after it; 0 begins now",
)];

pub(super) async fn watch(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let mut after_index = u64::try_from(call.values.int("afterIndex"))
        .map_err(|_| Failure::message("-afterIndex is a log index, which is a positive number"))?;
    let filter = filter_from_flags(&call.values)?;
    let mut client = EntriesClient::new(channel);
    loop {
        let request = WatchEntriesRequest { filter: Some(filter.clone()), output_mask: None, after_index };
        let mut responses = client.watch(request).await?.into_inner();
        while let Some(response) = responses.message().await? {
            after_index = response.resume_index;
            call.print(&response, |streams, response| Ok(print_changes(&mut streams.stdout, response)?))?;
            // Whoever reads a pipe is not to wait for the next change.
            call.streams.stdout.flush()?;
        }
        // The server sends its clients to other connections now and then; nothing is missed.
    }
}

fn print_changes(out: &mut dyn Write, response: &WatchEntriesResponse) -> io::Result<()> {
    if response.changes.is_empty() {
        return writeln!(out, "Index {}\n", response.resume_index);
    }
    response.changes.iter().try_for_each(|change| print_change(out, change))
}

fn print_change(out: &mut dyn Write, EntryChange { index, change }: &EntryChange) -> io::Result<()> {
    match change {
        Some(entry_change::Change::Set(entry)) => {
            writeln!(out, "Index {index}: set")?;
            print_entry(out, entry)
        }
        Some(entry_change::Change::GoneId(id)) => {
            writeln!(out, "Index {index}: gone")?;
            writeln!(out, "{:<24}: {id}\n", "Entry ID")
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steeple_api::types::Entry;

    #[test]
    fn each_change_names_its_index() {
        let entry = Entry { id: "web".to_owned(), revision_number: 3, ..Entry::default() };
        let change = |index, change| EntryChange { index, change: Some(change) };
        let changes = vec![
            change(7, entry_change::Change::Set(entry)),
            change(9, entry_change::Change::GoneId("web".to_owned())),
        ];
        let mut text = Vec::new();
        print_changes(&mut text, &WatchEntriesResponse { resume_index: 6, changes: Vec::new() }).unwrap();
        print_changes(&mut text, &WatchEntriesResponse { resume_index: 9, changes }).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("Index 6\n\nIndex 7: set\nEntry ID                : web\n"), "{text}");
        assert!(text.ends_with("\n\nIndex 9: gone\nEntry ID                : web\n\n"), "{text}");
    }
}
