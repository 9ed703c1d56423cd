//! What an import came to, for people and for scripts.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};
use steeple_cli::{Call, Failure, one_line};
use steeple_core::TrustDomain;
use steeple_import::{Database, Noun, Plan, Source};

use crate::cli::columns::print_table;

#[derive(Debug, Default)]
pub(super) struct Report {
    source: String,
    schema_version: u32,
    code_version: String,
    trust_domain: String,
    pub(super) in_use: bool,
    written: bool,
    counts: BTreeMap<Noun, Counts>,
    pub(super) conflicts: Vec<Line>,
    pub(super) refused: Vec<Line>,
    pub(super) kept: Vec<Line>,
    left_behind: Vec<Line>,
    notes: Vec<String>,
}

/// Records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) created: usize,
    pub(super) unchanged: usize,
    pub(super) kept: usize,
    pub(super) conflicts: usize,
    pub(super) refused: usize,
    left_behind: usize,
}

/// One record, and why it did not simply come along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) noun: Noun,
    pub(super) name: String,
    pub(super) reason: String,
}

/// Lines of one list that people are shown; scripts get all.
const LINES_SHOWN_MAX: usize = 20;

impl Report {
    pub(super) fn of(source: &Source, database: &Database, trust_domain: &TrustDomain) -> Self {
        Self {
            source: source.name(),
            schema_version: database.schema_version,
            code_version: database.code_version.clone(),
            trust_domain: trust_domain.name().to_owned(),
            in_use: database.in_use,
            ..Self::default()
        }
    }

    pub(super) fn leave_behind(&mut self, plan: &Plan) {
        self.notes.extend(plan.notes.iter().cloned());
        for left in &plan.left_behind {
            self.counts_of(left.noun).left_behind += 1;
            self.left_behind.push(Line { noun: left.noun, name: left.name.clone(), reason: left.reason.clone() });
        }
    }

    pub(super) fn counts_of(&mut self, noun: Noun) -> &mut Counts {
        self.counts.entry(noun).or_default()
    }

    /// Whether anything is missing on the server.
    pub(super) fn has_work(&self) -> bool {
        self.counts.values().any(|counts| counts.created > 0)
    }

    /// What the dry run counted gives way to what happens.
    pub(super) fn begin_writing(&mut self) {
        self.written = true;
        self.counts
            .values_mut()
            .for_each(|counts| *counts = Counts { left_behind: counts.left_behind, ..Counts::default() });
        self.refused.clear();
        self.kept.clear();
    }

    pub(super) fn print(&self, call: &mut Call) -> Result<(), Failure> {
        let json = call.is_json();
        let out = &mut call.streams.stdout;
        if json { Ok(writeln!(out, "{}", one_line(self.as_json()))?) } else { Ok(self.print_text(out)?) }
    }

    fn print_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "Datastore   : {} (SPIRE {}, schema {})", self.source, self.code_version, self.schema_version)?;
        writeln!(out, "Trust domain: {}\n", self.trust_domain)?;
        let verb = if self.written { "IMPORTED" } else { "MISSING HERE" };
        let mut rows =
            vec![["", verb, "HERE ALREADY", "NEWER HERE", "CONFLICTS", "REFUSED", "LEFT BEHIND"].map(str::to_owned)];
        for noun in NOUNS {
            let counts = self.counts.get(&noun).copied().unwrap_or_default();
            let Counts { created, unchanged, kept, conflicts, refused, left_behind } = counts;
            let numbers = [created, unchanged, kept, conflicts, refused, left_behind].map(|number| number.to_string());
            let [created, unchanged, kept, conflicts, refused, left_behind] = numbers;
            rows.push([plural(noun).to_owned(), created, unchanged, kept, conflicts, refused, left_behind]);
        }
        print_table(out, &rows)?;
        print_lines(out, "Something else is here under the same id", &self.conflicts)?;
        print_lines(out, "Refused", &self.refused)?;
        print_lines(out, "Newer here, and kept", &self.kept)?;
        print_lines(out, "Left behind", &self.left_behind)?;
        for note in &self.notes {
            writeln!(out, "\nNote: {note}.")?;
        }
        if self.in_use {
            writeln!(out, "\nNote: another program has the datastore open; what it writes from now on is missed.")?;
        }
        writeln!(out, "\n{}", self.conclusion())
    }

    fn conclusion(&self) -> &'static str {
        match (self.written, self.has_work()) {
            (true, _) => {
                "Imported. Agents and workloads keep what they have; repeat the import to see that nothing is left."
            }
            (false, true) => "Nothing was written.",
            (false, false) => "Nothing was written: all that can be imported is here already.",
        }
    }

    fn as_json(&self) -> Value {
        let counts: BTreeMap<&str, Value> = NOUNS
            .iter()
            .map(|noun| {
                let counts = self.counts.get(noun).copied().unwrap_or_default();
                let value = json!({
                    "created": counts.created,
                    "unchanged": counts.unchanged,
                    "kept": counts.kept,
                    "conflicts": counts.conflicts,
                    "refused": counts.refused,
                    "left_behind": counts.left_behind,
                });
                (noun.name(), value)
            })
            .collect();
        let lines = |lines: &[Line]| -> Value {
            let one = |line: &Line| json!({"kind": line.noun.name(), "name": line.name, "reason": line.reason});
            lines.iter().map(one).collect()
        };
        json!({
            "source": self.source,
            "schema_version": self.schema_version,
            "code_version": self.code_version,
            "trust_domain": self.trust_domain,
            "in_use": self.in_use,
            "written": self.written,
            "counts": counts,
            "conflicts": lines(&self.conflicts),
            "refused": lines(&self.refused),
            "kept": lines(&self.kept),
            "left_behind": lines(&self.left_behind),
            "notes": self.notes,
        })
    }
}

fn print_lines(out: &mut dyn Write, title: &str, lines: &[Line]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}:")?;
    for line in lines.iter().take(LINES_SHOWN_MAX) {
        let (noun, name) = (singular(line.noun), &line.name);
        let gap = if name.is_empty() { "" } else { " " };
        writeln!(out, "  {noun}{gap}{name}: {}", line.reason)?;
    }
    match lines.len().saturating_sub(LINES_SHOWN_MAX) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more: -output json lists all of them"),
    }
}

const NOUNS: [Noun; 6] = [Noun::Bundle, Noun::Relationship, Noun::Agent, Noun::Entry, Noun::JoinToken, Noun::Authority];

fn singular(noun: Noun) -> &'static str {
    match noun {
        Noun::Agent => "agent",
        Noun::Authority => "authority",
        Noun::Bundle => "bundle",
        Noun::Entry => "entry",
        Noun::JoinToken => "join token",
        Noun::Relationship => "federation with",
    }
}

fn plural(noun: Noun) -> &'static str {
    match noun {
        Noun::Agent => "Agents",
        Noun::Authority => "Signing keys",
        Noun::Bundle => "Bundles",
        Noun::Entry => "Entries",
        Noun::JoinToken => "Join tokens",
        Noun::Relationship => "Federation",
    }
}
