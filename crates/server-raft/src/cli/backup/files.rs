//! `backup inspect|list|verify`: they read backups where they lie and ask no server.

use std::io::Write as _;

use steeple_api::steeple::backup::{Facts, FactsList, Unreadable};
use steeple_cli::{Call, Failure, Progress};

use super::print::{print_facts, print_list};
use super::spot::{s3_settings, s3_settings_of, with_place, with_spot};
use crate::backup::{self, Spot};
use crate::cli::offline::{required, sealing_key, settings};
use crate::watched::part;

pub(super) fn inspect(call: &mut Call) -> Result<(), Failure> {
    let path = required(&call.values, "path", A_BACKUP)?;
    let mut progress = Progress::new("inspect");
    let facts = with_spot(path, &s3_settings(&call.values)?, |spot: &Spot| {
        spot.inspect(&mut |done, total| progress.at(done, total)).map_err(Failure::message)
    })?;
    drop(progress);
    call.print(&facts, |streams, facts| {
        print_facts(&mut streams.stdout, facts)?;
        Ok(writeln!(streams.stdout, "\nAll hashes are right. `backup verify` tells whether the sealing key opens it.")?)
    })
}

pub(super) fn verify(call: &mut Call) -> Result<(), Failure> {
    let path = required(&call.values, "path", A_BACKUP)?;
    let settings = settings(&call.values, None)?;
    let key = sealing_key(&call.values, &settings)?;
    let mut progress = Progress::new("verify");
    let facts = with_spot(path, &s3_settings_of(&settings), |spot| {
        let mut watcher = |done, total| progress.at(done, total);
        let opened = spot.read().and_then(|content| backup::open(content.watched(&mut watcher), &key));
        let opened = opened.map_err(|error| Failure::message(error.at(spot)))?;
        // The defaults, which hold without a file, say nothing of the trust domain.
        if settings.config_path.is_some() {
            backup::demand_trust_domain(&opened.facts, &settings.trust_domain).map_err(Failure::message)?;
        }
        Ok(Facts { path: spot.to_string(), ..opened.facts })
    })?;
    drop(progress);
    call.print(&facts, |streams, facts| {
        print_facts(&mut streams.stdout, facts)?;
        Ok(writeln!(streams.stdout, "\nThe sealing key opens all of it, and the state is the one that was saved.")?)
    })
}

pub(super) fn list(call: &mut Call) -> Result<(), Failure> {
    let dir = required(&call.values, "dir", "a directory or s3://BUCKET/PREFIX")?;
    let mut found = FactsList::default();
    with_place(dir, &s3_settings(&call.values)?, |place| {
        let names = place.names().map_err(Failure::message)?;
        let names: Vec<String> = names.into_iter().filter(|name| backup::is_backup_name(name)).collect();
        let (total, mut progress) = (names.len() as u64, Progress::new("backups"));
        for (number, name) in (0..).zip(names) {
            let spot = Spot { place: place.clone(), name };
            match spot.inspect(&mut part(&mut |done, total| progress.at(done, total), number, total)) {
                Ok(facts) => found.backups.push(facts),
                Err(error) => {
                    found.unreadable.push(Unreadable { path: spot.to_string(), reason: error.to_string() });
                }
            }
        }
        Ok(())
    })?;
    found.backups.sort_by(|a, b| (b.created_at, &b.path).cmp(&(a.created_at, &a.path)));
    call.print(&found, print_list)
}

const A_BACKUP: &str = "a backup file or s3://BUCKET/PREFIX/NAME";
