//! `audit show`.

use std::collections::VecDeque;
use std::io::Write as _;

use serde_json::{Value as Json, json};
use steeple_cli::{Call, Failure, one_line, parse_rfc3339};

use super::files;
use crate::audit::chain::Record;

/// What a record must have; empty is anything.
#[derive(Clone, Debug, Default)]
struct Wanted {
    caller: String,
    method: String,
    status: String,
    /// Unix seconds.
    from: Option<i64>,
    until: Option<i64>,
}

/// Lines that are no records are left out: they are for `audit verify`.
pub(super) fn show(call: &mut Call) -> Result<(), Failure> {
    required_file(call)?;
    let paths = files::named(call.values.texts("file"))?;
    let wanted = Wanted::of(call)?;
    let limit = usize::try_from(call.values.int("limit")).map_err(|_| Failure::message("-limit is not negative"))?;
    let mut found: VecDeque<Record> = VecDeque::new();
    files::each_line(&paths, |_, _, line, _| {
        if let Ok(record) = Record::parse(line)
            && wanted.fits(&record)
        {
            found.push_back(record);
            if limit > 0 && found.len() > limit {
                found.pop_front();
            }
        }
    })?;
    let json = call.is_json();
    let out = &mut call.streams.stdout;
    for record in &found {
        if json {
            writeln!(out, "{}", one_line(as_json(record)))?;
        } else {
            writeln!(out, "{}", as_line(record))?;
        }
    }
    Ok(())
}

fn required_file(call: &Call) -> Result<(), Failure> {
    match call.values.texts("file") {
        [] => Err(Failure::message("an audit file (-file) is required")),
        _ => Ok(()),
    }
}

impl Wanted {
    fn of(call: &Call) -> Result<Self, Failure> {
        let text = |name| call.values.text(name).to_owned();
        let time = |name| match call.values.text_if_any(name) {
            Some(text) => {
                let time = parse_rfc3339(text);
                time.map(Some)
                    .ok_or_else(|| Failure::message(format!("-{name} is a time such as 2026-01-02T03:04:05Z")))
            }
            None => Ok(None),
        };
        let (from, until) = (time("from")?, time("until")?);
        Ok(Self { caller: text("caller"), method: text("method"), status: text("status"), from, until })
    }

    fn fits(&self, record: &Record) -> bool {
        let at = parse_rfc3339(&record.time);
        let is_any =
            |wanted: &str, names: &[&str]| wanted.is_empty() || names.iter().any(|name| told(record, name) == wanted);
        self.from.is_none_or(|from| at.is_some_and(|at| at >= from))
            && self.until.is_none_or(|until| at.is_some_and(|at| at <= until))
            && is_any(&self.method, &["method"])
            && is_any(&self.caller, &["caller_id", "caller_addr", "caller_uid"])
            && is_any(&self.status, &["status", "status_code"])
    }
}

fn told(record: &Record, name: &str) -> String {
    match record.fields.get(name) {
        None => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The fields as the log shows them.
fn as_line(record: &Record) -> String {
    let place = format!("{} {:>6}", record.time, record.head.sequence);
    let fields = record.fields.iter().filter(|(name, _)| !["type", "msg"].contains(&name.as_str()));
    let fields = fields.map(|(name, value)| match value {
        Json::String(text) if !text.contains([' ', '"', '\\']) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    });
    let fields: Vec<String> = fields.collect();
    format!("{place} {} {}", record.text("msg"), fields.join(" "))
}

fn as_json(record: &Record) -> Json {
    let mut whole = record.fields.clone();
    whole.insert("time".to_owned(), record.time.clone().into());
    let head = &record.head;
    let chain = json!({
        "node": head.node_id,
        "epoch": head.epoch,
        "sequence": head.sequence,
        "index": record.index,
        "term": record.term,
    });
    whole.insert("chain".to_owned(), chain);
    Json::Object(whole)
}
