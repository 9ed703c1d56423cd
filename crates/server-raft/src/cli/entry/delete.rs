//! `entry delete`.

use std::io::Write;

use serde::Deserialize;
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::{BatchDeleteEntryRequest, BatchDeleteEntryResponse};
use steeple_cli::{Call, Failure, Flag, Streams};
use tonic::transport::Channel;

use crate::cli::go_json::{Shape, Struct, from_go_json};
use crate::cli::reply::{described, is_ok};

pub(super) const FLAGS: &[Flag] = &[
    Flag::text("entryID", "ID of the entry to delete"),
    Flag::text("file", "File with {\"ids\": [...]}, - for standard input, instead of -entryID"),
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    ids: Vec<String>,
}

const FILE: Struct = Struct { name: "entryv1.BatchDeleteEntryRequest", members: &[("ids", Shape::List(&Shape::Text))] };

pub(super) async fn delete(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let ids = ids(call)?;
    let request = BatchDeleteEntryRequest { ids };
    let response = EntryClient::new(channel).batch_delete_entry(request).await?.into_inner();
    call.print(&response, print)
}

fn ids(call: &mut Call) -> Result<Vec<String>, Failure> {
    if let Some(path) = call.values.text_if_any("file").map(str::to_owned) {
        let json = call.read(&path, "-")?;
        let file: Result<File, _> = from_go_json(&json, &FILE);
        return file.map(|file| file.ids).map_err(Failure::Message);
    }
    match call.values.text_if_any("entryID") {
        Some(id) => Ok(vec![id.to_owned()]),
        None => Err(Failure::message("an entry ID is required")),
    }
}

/// Blank lines and missing line ends are SPIRE's.
fn print(streams: &mut Streams, response: &BatchDeleteEntryResponse) -> Result<(), Failure> {
    let (deleted, failed): (Vec<_>, Vec<_>) = response.results.iter().partition(|result| is_ok(result.status.as_ref()));
    let out = &mut streams.stdout;
    for result in &deleted {
        writeln!(out, "Deleted entry with ID: {}", result.id)?;
    }
    if !deleted.is_empty() {
        write!(out, "\n\n")?;
    }
    for result in &failed {
        let described = described(result.status.as_ref());
        writeln!(streams.stderr, "Failed to delete entry with ID {} ({described})", result.id)?;
    }
    let (good, bad) = (deleted.len(), failed.len());
    match (good, bad) {
        (_, 0) => return Ok(write!(out, "Deleted {good} entries successfully")?),
        (0, _) => write!(out, "\n\nFailed to delete {bad} entries")?,
        _ => write!(out, "\n\nDeleted {good} entries successfully, but failed to delete {bad} entries")?,
    }
    Err(Failure::message("failed to delete one or more entries"))
}
