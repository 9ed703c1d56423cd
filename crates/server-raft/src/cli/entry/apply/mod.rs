//! `entry apply`: entries become what files say. Ours: SPIRE's command line changes entries one by one.
//!
//! ```text
//!   files ── wanted ──┐
//!                     ├── plan (pure) ──▶ create, update, delete ──▶ report
//!   server ── held ───┘
//! ```

mod files;
mod owner;
mod plan;
mod report;

use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::list_entries_request::Filter;
use steeple_api::server::entry::{BatchCreateEntryRequest, BatchDeleteEntryRequest, BatchUpdateEntryRequest};
use steeple_api::types::{Entry, Status};
use steeple_cli::{Call, Failure, Flag, Progress, as_told};
use tonic::transport::Channel;

use super::pages::fetch_all;
use crate::cli::reply::is_ok;
use owner::Owner;
use plan::{Plan, plan};
use report::Report;

pub(super) const FLAGS: &[Flag] = &[
    Flag::bool("dryRun", "Only show what would change"),
    Flag::text_or(
        "f",
        "-",
        "A file with entries as JSON, as entry create -data takes it, a directory of such files that end in .json, \
         or - for standard input; for example: entry apply -f entries/ -dryRun",
    ),
    Flag::text_or(
        "owner",
        "default",
        "Name of this set of entries; what it creates gets IDs that begin with apply.OWNER. and no other set prunes",
    ),
    Flag::bool(
        "prune",
        "Also delete what an earlier apply with this -owner created and the files name no longer; nothing else",
    ),
];

/// A batch of entries of 2 KiB, which are large ones, stays well below the 4 MiB that a message may have.
const BATCH_ENTRIES: usize = 500;

pub(super) async fn apply(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let owner = Owner::parse(call.values.text("owner")).map_err(Failure::message)?;
    let path = call.values.text("f").to_owned();
    let wanted = files::read(call, &path)?;
    let mut client = EntryClient::new(channel);
    let held = fetch_all(&mut client, &Filter::default()).await?;
    let plan = plan(wanted, held, &owner, call.values.bool("prune")).map_err(Failure::message)?;
    let dry_run = call.values.bool("dryRun");
    let mut report = Report { dry_run, ..Report::default() };
    if dry_run {
        report.planned(plan);
    } else {
        carry_out(&mut client, plan, &mut report).await?;
    }
    report.print(call)
}

/// What replaces an entry is created before that entry is deleted, and nothing is deleted after a failure: no workload
/// is without identity on the way.
async fn carry_out(client: &mut EntryClient<Channel>, plan: Plan, report: &mut Report) -> Result<(), Failure> {
    report.unchanged = plan.unchanged;
    let total = (plan.created.len() + plan.updated.len() + plan.deleted.len()) as u64;
    let (mut done, mut progress) = (0, Progress::new("entries"));
    let mut step = |count: usize| {
        done += count as u64;
        progress.at(done, total);
    };
    for entries in plan.created.chunks(BATCH_ENTRIES) {
        let request = BatchCreateEntryRequest { entries: entries.to_vec(), output_mask: None };
        let results = as_told(async || client.batch_create_entry(request.clone()).await).await?.into_inner().results;
        step(entries.len());
        for (entry, result) in entries.iter().zip(results) {
            match refusal(result.status) {
                Some(status) => report.failed.push((entry.clone(), status)),
                None => report.created.push(result.entry.unwrap_or_else(|| entry.clone())),
            }
        }
    }
    for changes in plan.updated.chunks(BATCH_ENTRIES) {
        let entries: Vec<Entry> = changes.iter().map(|change| change.after.clone()).collect();
        let request = BatchUpdateEntryRequest { entries, input_mask: None, output_mask: None };
        let results = as_told(async || client.batch_update_entry(request.clone()).await).await?.into_inner().results;
        step(changes.len());
        for (change, result) in changes.iter().zip(results) {
            match refusal(result.status) {
                Some(status) => report.failed.push((change.after.clone(), status)),
                None => report.updated.push(change.clone()),
            }
        }
    }
    if !report.failed.is_empty() {
        report.not_deleted = plan.deleted.len();
        return Ok(());
    }
    for entries in plan.deleted.chunks(BATCH_ENTRIES) {
        let request = BatchDeleteEntryRequest { ids: entries.iter().map(|entry| entry.id.clone()).collect() };
        let results = as_told(async || client.batch_delete_entry(request.clone()).await).await?.into_inner().results;
        step(entries.len());
        for (entry, result) in entries.iter().zip(results) {
            match refusal(result.status) {
                Some(status) => report.failed.push((entry.clone(), status)),
                None => report.deleted.push(entry.clone()),
            }
        }
    }
    Ok(())
}

fn refusal(status: Option<Status>) -> Option<Status> {
    status.filter(|status| !is_ok(Some(status)))
}
