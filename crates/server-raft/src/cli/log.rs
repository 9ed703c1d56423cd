//! `log inspect`: a data directory, read without a server.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::json;
use steeple_cli::{Call, Command, Failure, Flag, Help, OUTPUT, Progress, one_line, utc_time};

use super::Action;
use super::offline::required;
use crate::raft::{EntryShown, Participant, Position, Survey, log_entries, survey};
use crate::watched::part;

pub(super) const COMMANDS: &[Command<Action>] = &[Command {
    path: "log inspect",
    synopsis: "Shows vote, membership, log and snapshot of a stopped server's data directory, never a secret",
    help: Help::ours(
        "Shows vote, membership, log and snapshot of a stopped server's data directory, and the commands in its log \
         by name, actor and time, never a secret. For those who want to know what a replica had before they recover \
         or throw it away.",
        &[
            ("The directory and its last entries", "steeple-server log inspect -dataDir /var/lib/steeple/server"),
            (
                "From an index, for a script",
                "steeple-server log inspect -dataDir /var/lib/steeple/server -from 4000 -limit 1000 -output json",
            ),
        ],
    ),
    flags: &[FLAGS],
    action: Action::Local(inspect),
}];

const FLAGS: &[Flag] = &[
    Flag::text("dataDir", "The data directory"),
    Flag::int("from", 0, "The log index to begin with"),
    Flag::int("limit", 100, "Log entries to show at most"),
    OUTPUT,
];

fn inspect(call: &mut Call) -> Result<(), Failure> {
    let dir = PathBuf::from(required(&call.values, "dataDir", "a data directory")?);
    let positive = |name: &str| {
        let value = u64::try_from(call.values.int(name));
        value.map_err(|_| Failure::message(format!("-{name} is not negative")))
    };
    let (from, limit) = (positive("from")?, positive("limit")?);
    let mut progress = Progress::new("log");
    let watcher = &mut |done, total| progress.at(done, total);
    let survey = survey(&dir, &mut part(watcher, 0, 2)).map_err(Failure::message)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let entries = log_entries(&dir, from, limit, &mut part(watcher, 1, 2)).map_err(Failure::message)?;
    drop(progress);
    let json = call.is_json();
    let out = &mut call.streams.stdout;
    if json {
        let entries: Vec<_> = entries.iter().map(entry_json).collect();
        return Ok(writeln!(out, "{}", one_line(json!({ "directory": survey, "entries": entries })))?);
    }
    print_survey(out, &survey)?;
    writeln!(out)?;
    for entry in &entries {
        match entry {
            Ok(entry) => writeln!(out, "{:>8}  term {:<5} {}", entry.position.index, entry.position.term, say(entry))?,
            Err(reason) => writeln!(out, "          {reason}")?,
        }
    }
    Ok(())
}

/// The directory in a dozen lines.
pub(super) fn print_survey(out: &mut dyn Write, survey: &Survey) -> io::Result<()> {
    let mut line = |label: &str, value: &dyn Display| writeln!(out, "{label:<15}: {value}");
    let none = || "none".to_owned();
    let place = |position: Option<Position>| position.map_or_else(none, |position| position.to_string());
    line("Directory", &survey.dir.display())?;
    if survey.in_use {
        line("In use", &in_use(survey))?;
    }
    line("Storage format", &survey.storage_format)?;
    line("Cluster UUID", &survey.cluster_uuid.clone().unwrap_or_else(none))?;
    line("Node", &survey.node_id.map_or_else(none, |id| id.to_string()))?;
    line("Storage UUID", &survey.storage_uuid.clone().unwrap_or_else(none))?;
    let vote = survey.vote.map_or_else(none, |vote| {
        let won = if vote.committed { ", which leads or led" } else { "" };
        format!("term {} for node {}{won}", vote.term, vote.node_id)
    });
    line("Vote", &vote)?;
    line("Purged up to", &place(survey.purged))?;
    line("Last log", &place(survey.last_log))?;
    line("Committed", &place(survey.committed))?;
    line("Applied", &place(survey.applied))?;
    let snapshot = survey.snapshot.as_ref().map_or_else(none, |snapshot| {
        let index = snapshot.applied.unwrap_or(0);
        format!("index {index}, {} rows, {} bytes, SHA-256 {}", snapshot.rows, snapshot.size_bytes, snapshot.sha256)
    });
    line("Snapshot", &snapshot)?;
    for member in &survey.membership {
        line("Member", &participant(member))?;
    }
    Ok(())
}

/// By whom.
pub(super) fn in_use(survey: &Survey) -> String {
    survey.process.map_or_else(|| "by a running server".to_owned(), |process| format!("by process {process}"))
}

pub(super) fn participant(member: &Participant) -> String {
    let Participant { node_id, name, address, voter } = member;
    format!("node {node_id} {name} {address} ({})", if *voter { "voter" } else { "learner" })
}

fn say(entry: &EntryShown) -> String {
    let commands = entry.commands.iter().map(|command| {
        let at = utc_time(command.at_ms.div_euclid(1000));
        format!("{} by {} at {at}", command.name, command.actor)
    });
    let members = entry.membership.iter().map(participant);
    let details: Vec<String> = commands.chain(members).collect();
    if details.is_empty() { entry.kind.to_owned() } else { details.join("; ") }
}

fn entry_json(entry: &Result<EntryShown, String>) -> serde_json::Value {
    match entry {
        Ok(entry) => json!(entry),
        Err(reason) => json!({ "unreadable": reason }),
    }
}
