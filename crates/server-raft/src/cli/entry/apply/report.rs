//! What an apply came to, for people and for scripts.

use std::io::Write;

use serde_json::{Value, json};
use steeple_api::types::{Entry, Status};
use steeple_cli::{Call, Failure, JsonError, Streams, one_line, proto_json};

use super::plan::{Change, Plan};
use crate::cli::reply::described;
use crate::cli::selectors::{id_text, selector_texts};

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) dry_run: bool,
    pub(super) created: Vec<Entry>,
    pub(super) updated: Vec<Change>,
    pub(super) deleted: Vec<Entry>,
    pub(super) unchanged: usize,
    pub(super) failed: Vec<(Entry, Status)>,
    /// Because others failed.
    pub(super) not_deleted: usize,
}

/// Members that a server sets.
const OWN_MEMBERS: [&str; 2] = ["created_at", "revision_number"];

impl Report {
    pub(super) fn planned(&mut self, plan: Plan) {
        (self.created, self.updated, self.deleted) = (plan.created, plan.updated, plan.deleted);
        self.unchanged = plan.unchanged;
    }

    /// Fails when an entry did.
    pub(super) fn print(&self, call: &mut Call) -> Result<(), Failure> {
        if call.is_json() {
            let line = one_line(self.json()?);
            writeln!(call.streams.stdout, "{line}")?;
        } else {
            self.pretty(&mut call.streams)?;
        }
        if self.failed.is_empty() {
            return Ok(());
        }
        let kept = match self.not_deleted {
            0 => String::new(),
            count => format!("; {count} that were to be deleted are still there"),
        };
        Err(Failure::Message(format!("failed to apply {} of the entries{kept}", self.failed.len())))
    }

    fn pretty(&self, streams: &mut Streams) -> Result<(), Failure> {
        let out = &mut streams.stdout;
        for entry in &self.created {
            writeln!(out, "+ {}", named(entry))?;
        }
        for change in &self.updated {
            writeln!(out, "~ {}", named(&change.after))?;
            for (member, before, after) in differences(change)? {
                writeln!(out, "    {member}: {before} -> {after}")?;
            }
        }
        for entry in &self.deleted {
            writeln!(out, "- {}", named(entry))?;
        }
        let (created, updated, deleted) = (self.created.len(), self.updated.len(), self.deleted.len());
        let note = if self.dry_run { " (dry run: nothing was written)" } else { "" };
        writeln!(out, "{created} created, {updated} updated, {deleted} deleted, {} unchanged{note}", self.unchanged)?;
        for (entry, status) in &self.failed {
            writeln!(streams.stderr, "! {}: {}", named(entry), described(Some(status)))?;
        }
        Ok(())
    }

    fn json(&self) -> Result<Value, JsonError> {
        let entries = |entries: &[Entry]| entries.iter().map(proto_json).collect::<Result<Vec<_>, _>>();
        let updated = self
            .updated
            .iter()
            .map(|change| Ok(json!({ "before": proto_json(&change.before)?, "after": proto_json(&change.after)? })));
        let failed = self.failed.iter().map(|(entry, status)| {
            Ok(json!({ "entry": proto_json(entry)?, "code": status.code, "message": status.message }))
        });
        Ok(json!({
            "dry_run": self.dry_run,
            "created": entries(&self.created)?,
            "updated": updated.collect::<Result<Vec<_>, JsonError>>()?,
            "deleted": entries(&self.deleted)?,
            "unchanged": self.unchanged,
            "failed": failed.collect::<Result<Vec<_>, JsonError>>()?,
            "not_deleted": self.not_deleted,
        }))
    }
}

/// The entry on one line.
fn named(entry: &Entry) -> String {
    let (id, parent) = (id_text(entry.spiffe_id.as_ref()), id_text(entry.parent_id.as_ref()));
    format!("{id} below {parent} for {} ({})", selector_texts(&entry.selectors), entry.id)
}

/// Members with their values before and after.
fn differences(change: &Change) -> Result<Vec<(String, Value, Value)>, JsonError> {
    let (Value::Object(before), Value::Object(after)) = (proto_json(&change.before)?, proto_json(&change.after)?)
    else {
        return Ok(Vec::new());
    };
    let mut members: Vec<&String> = before.keys().chain(after.keys()).collect();
    members.sort_unstable();
    members.dedup();
    let pairs = members.into_iter().filter(|member| !OWN_MEMBERS.contains(&member.as_str())).map(|member| {
        let value = |of: &serde_json::Map<String, Value>| of.get(member).cloned().unwrap_or(Value::Null);
        (member.clone(), value(&before), value(&after))
    });
    Ok(pairs.filter(|(_, before, after)| before != after).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use steeple_api::types::{Selector, Spiffeid};

    #[test]
    fn people_see_a_diff() {
        let id = |path: &str| Some(Spiffeid { trust_domain: "example.org".into(), path: path.into() });
        let selectors = vec![Selector { r#type: "unix".into(), value: "uid:1".into() }];
        let entry = Entry { id: "e".into(), spiffe_id: id("/w"), parent_id: id("/n"), selectors, ..Entry::default() };
        let after = Entry { x509_svid_ttl: 60, dns_names: vec!["a.test".into()], ..entry.clone() };
        let before = Entry { revision_number: 3, ..entry.clone() };
        let report = Report {
            dry_run: true,
            created: vec![entry.clone()],
            updated: vec![Change { before, after }],
            deleted: vec![entry],
            unchanged: 4,
            ..Report::default()
        };
        let (mut streams, captured) = Streams::captured("");
        report.pretty(&mut streams).unwrap();
        let line = "spiffe://example.org/w below spiffe://example.org/n for unix:uid:1 (e)";
        let expected = format!(
            "+ {line}\n~ {line}\n    dns_names: [] -> [\"a.test\"]\n    x509_svid_ttl: 0 -> 60\n- {line}\n\
             1 created, 1 updated, 1 deleted, 4 unchanged (dry run: nothing was written)\n"
        );
        assert_eq!(captured.stdout(), expected);
    }
}
