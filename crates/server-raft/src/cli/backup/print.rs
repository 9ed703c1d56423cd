//! Backups for people.

use std::fmt::Display;
use std::io::Write;

use steeple_api::steeple::backup::{Facts, FactsList};
use steeple_cli::{Failure, Streams, utc_time};

use crate::cli::columns::print_table;

pub(super) fn print_facts(out: &mut dyn Write, facts: &Facts) -> Result<(), Failure> {
    let mut line = |label: &str, value: &dyn Display| writeln!(out, "{label:<15}: {value}");
    line("Trust domain", &facts.trust_domain)?;
    line("Cluster UUID", &facts.cluster_uuid)?;
    line("Created at", &utc_time(facts.created_at))?;
    line("By version", &facts.version)?;
    line("Format", &facts.feature_level)?;
    line("Applied index", &facts.applied_index)?;
    line("Entries", &facts.entries)?;
    line("Agents", &facts.agents)?;
    line("Bundles", &facts.bundles)?;
    line("Federation", &facts.federation_relationships)?;
    line("Join tokens", &facts.join_tokens)?;
    line("Rows in all", &facts.rows)?;
    line("State hash", &facts.state_hash)?;
    line("Size", &format_args!("{} bytes", facts.size_bytes))?;
    line("SHA-256", &facts.sha256)?;
    line("Sealing key", &facts.sealing_key_id)?;
    Ok(())
}

pub(super) fn print_list(streams: &mut Streams, list: &FactsList) -> Result<(), Failure> {
    let header = ["CREATED AT", "TRUST DOMAIN", "APPLIED", "ENTRIES", "AGENTS", "BYTES", "SEALING KEY", "FILE"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(list.backups.iter().map(|facts| {
        [
            utc_time(facts.created_at),
            facts.trust_domain.clone(),
            facts.applied_index.to_string(),
            facts.entries.to_string(),
            facts.agents.to_string(),
            facts.size_bytes.to_string(),
            facts.sealing_key_id.clone(),
            facts.path.clone(),
        ]
    }));
    print_table(&mut streams.stdout, &rows)?;
    for unreadable in &list.unreadable {
        writeln!(streams.stderr, "{}", unreadable.reason)?;
    }
    Ok(())
}
