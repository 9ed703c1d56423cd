//! A record as one line: logrus' `TextFormatter` without colours, or its `JSONFormatter`.

use std::collections::BTreeMap;

use serde_json::json;
use steeple_config::{LogFormat, go_quoted};

use super::record::{Record, Value};

/// One line with its line feed.
pub(crate) fn format_line(format: LogFormat, record: &Record) -> String {
    match format {
        LogFormat::Json => json_line(record),
        LogFormat::Text => text_line(record),
    }
}

fn text_line(record: &Record) -> String {
    let mut line = String::with_capacity(128);
    append(&mut line, "time", &record.time);
    append(&mut line, "level", record.level.name());
    if !record.message.is_empty() {
        append(&mut line, "msg", &record.message);
    }
    if let Some(caller) = &record.caller {
        append(&mut line, "func", &caller.function);
        append(&mut line, "file", &caller.file);
    }
    // Sorted anew, because the prefix of a clashing name changes its place.
    let fields: BTreeMap<String, &Value> =
        record.fields.iter().map(|(name, value)| (unclashed(name, record), value)).collect();
    for (name, value) in fields {
        append(&mut line, &name, &value.to_string());
    }
    line.push('\n');
    line
}

fn json_line(record: &Record) -> String {
    let mut members = BTreeMap::from([
        ("time".to_owned(), json!(record.time)),
        ("level".to_owned(), json!(record.level.name())),
        ("msg".to_owned(), json!(record.message)),
    ]);
    if let Some(caller) = &record.caller {
        members.insert("func".to_owned(), json!(caller.function));
        members.insert("file".to_owned(), json!(caller.file));
    }
    for (name, value) in &record.fields {
        members.insert(unclashed(name, record), value.into());
    }
    let mut line = serde_json::Value::Object(members.into_iter().collect()).to_string();
    line.push('\n');
    line
}

/// logrus moves a field that has the name of a fixed one out of the way.
fn unclashed(name: &str, record: &Record) -> String {
    let fixed = match name {
        "level" | "msg" | "time" => true,
        "file" | "func" => record.caller.is_some(),
        _ => false,
    };
    if fixed { format!("fields.{name}") } else { name.to_owned() }
}

fn append(line: &mut String, name: &str, value: &str) {
    if !line.is_empty() {
        line.push(' ');
    }
    line.push_str(name);
    line.push('=');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/' | '@' | '^' | '+');
    if value.chars().all(plain) { line.push_str(value) } else { line.push_str(&go_quoted(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::{Caller, Fields};
    use proptest::prelude::*;
    use steeple_config::LogLevel;

    fn record(message: &str, fields: &[(&str, Value)]) -> Record {
        Record {
            time: "2026-01-02T03:04:05Z".into(),
            level: LogLevel::Info,
            message: message.into(),
            caller: None,
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Fields>(),
        }
    }

    #[test]
    fn text_as_logrus_writes_it() {
        let text = |value: &str| Value::Text(value.into());
        let line = format_line(
            LogFormat::Text,
            &record(
                "Starting Server APIs",
                &[
                    ("network", text("tcp")),
                    ("address", text("[::]:8081")),
                    ("count", Value::Uint(3)),
                    ("empty", text("")),
                ],
            ),
        );
        assert_eq!(
            line,
            "time=\"2026-01-02T03:04:05Z\" level=info msg=\"Starting Server APIs\" address=\"[::]:8081\" count=3 \
             empty= network=tcp\n"
        );
        assert!(format_line(LogFormat::Text, &record("ready", &[])).ends_with(" level=info msg=ready\n"));
    }

    #[test]
    fn what_is_not_plain_is_quoted() {
        for (value, quoted) in [
            ("a-b/c.d_e@f^g+1", "a-b/c.d_e@f^g+1"),
            ("a b", "\"a b\""),
            ("say \"x\"\n", "\"say \\\"x\\\"\\n\""),
            ("ü", "\"ü\""),
            ("it's", "\"it's\""),
        ] {
            let mut line = String::new();
            append(&mut line, "k", value);
            assert_eq!(line, format!("k={quoted}"));
        }
    }

    #[test]
    fn fields_named_like_fixed_ones_move() {
        let mut clashing =
            record("m", &[("msg", Value::Bool(true)), ("file", Value::Int(-1)), ("a", Value::Bool(false))]);
        assert!(format_line(LogFormat::Text, &clashing).ends_with(" msg=m a=false fields.msg=true file=-1\n"));
        clashing.caller = Some(Caller { function: "f".into(), file: "x.rs:1".into() });
        let line = format_line(LogFormat::Text, &clashing);
        assert!(line.ends_with(" msg=m func=f file=\"x.rs:1\" a=false fields.file=-1 fields.msg=true\n"), "{line}");
    }

    #[test]
    fn json_as_logrus_writes_it() {
        let line = format_line(
            LogFormat::Json,
            &record("hello \"you\"", &[("n", Value::Uint(7)), ("error", Value::Text("x".into()))]),
        );
        assert_eq!(
            line,
            "{\"error\":\"x\",\"level\":\"info\",\"msg\":\"hello \\\"you\\\"\",\"n\":7,\
             \"time\":\"2026-01-02T03:04:05Z\"}\n"
        );
    }

    proptest! {
        #[test]
        fn a_record_is_always_one_line(message in any::<String>(), value in any::<String>()) {
            let record = record(&message, &[("k", Value::Text(value))]);
            for format in [LogFormat::Text, LogFormat::Json] {
                let line = format_line(format, &record);
                prop_assert_eq!(line.matches('\n').count(), 1);
                prop_assert!(line.ends_with('\n'));
            }
        }
    }
}
