//! `backup inspect|list|verify`: they read files and ask no server.

use std::fs::{self, File};
use std::io::{BufReader, Write as _};
use std::path::Path;

use steeple_api::steeple::backup::{Facts, FactsList, Unreadable};
use steeple_cli::{Call, Context, Failure};

use super::print::{print_facts, print_list};
use crate::backup;
use crate::cli::offline::{required, sealing_key, settings};

pub(super) fn inspect(call: &mut Call) -> Result<(), Failure> {
    let path = required(&call.values, "path", "a backup file")?;
    let facts = backup::inspect_file(Path::new(path)).map_err(Failure::message)?;
    call.print(&facts, |streams, facts| {
        print_facts(&mut streams.stdout, facts)?;
        Ok(writeln!(streams.stdout, "\nAll hashes are right. `backup verify` tells whether the sealing key opens it.")?)
    })
}

pub(super) fn verify(call: &mut Call) -> Result<(), Failure> {
    let path = Path::new(required(&call.values, "path", "a backup file")?);
    let key = sealing_key(&call.values, &settings(&call.values, None)?)?;
    let file = File::open(path).context(path.display())?;
    let opened = backup::open(BufReader::new(file), &key).map_err(|error| Failure::message(error.at(path)))?;
    let facts = Facts { path: path.display().to_string(), ..opened.facts };
    call.print(&facts, |streams, facts| {
        print_facts(&mut streams.stdout, facts)?;
        Ok(writeln!(streams.stdout, "\nThe sealing key opens all of it, and the state is the one that was saved.")?)
    })
}

pub(super) fn list(call: &mut Call) -> Result<(), Failure> {
    let dir = Path::new(required(&call.values, "dir", "a directory")?);
    let mut found = FactsList::default();
    for item in fs::read_dir(dir).context(dir.display())? {
        let path = item?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !backup::is_backup_name(name) {
            continue;
        }
        match backup::inspect_file(&path) {
            Ok(facts) => found.backups.push(facts),
            Err(error) => {
                found.unreadable.push(Unreadable { path: path.display().to_string(), reason: error.to_string() });
            }
        }
    }
    found.backups.sort_by(|a, b| (b.created_at, &b.path).cmp(&(a.created_at, &a.path)));
    found.unreadable.sort_by(|a, b| a.path.cmp(&b.path));
    call.print(&found, print_list)
}
