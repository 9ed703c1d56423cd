//! What a plugin prints, in our log: hclog's JSON with its level and fields, anything else as SPIRE tells it.

use std::io;
use std::time::Instant;

use serde_json::{Map, Value};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

use super::bounds::{LOG_FIELDS_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX, LOG_WINDOW};

/// A line as it goes into the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub level: tracing::Level,
    pub message: String,
    /// By their names; JSON values as they came.
    pub fields: Map<String, Value>,
}

/// Reads lines; a Go program that panics is heard until its end.
#[derive(Debug, Default)]
pub(super) struct Reading {
    in_panic: bool,
}

impl Reading {
    /// `None` for what is not told: SPIRE has no level for what a plugin traces.
    pub(super) fn line(&mut self, text: &str) -> Option<Line> {
        if let Some(line) = hclog(text) {
            return line;
        }
        let prefixed = [
            ("[TRACE]", None),
            ("[DEBUG]", Some(tracing::Level::DEBUG)),
            ("[INFO]", Some(tracing::Level::INFO)),
            ("[WARN]", Some(tracing::Level::WARN)),
            ("[ERROR]", Some(tracing::Level::ERROR)),
        ];
        let told = prefixed.into_iter().find(|(prefix, _)| text.starts_with(prefix));
        self.in_panic |= text.starts_with("panic: ") || text.starts_with("fatal error: ");
        let level = match told {
            Some((_, level)) => level?,
            None if self.in_panic => tracing::Level::ERROR,
            None => tracing::Level::DEBUG,
        };
        Some(Line { level, message: text.to_owned(), fields: Map::new() })
    }
}

/// `None` for what hclog has not written; `Some(None)` for what it traces.
fn hclog(text: &str) -> Option<Option<Line>> {
    let mut fields: Map<String, Value> = serde_json::from_str(text).ok()?;
    let level = match fields.remove("@level")?.as_str()? {
        "trace" => return Some(None),
        "debug" => tracing::Level::DEBUG,
        "info" => tracing::Level::INFO,
        "warn" => tracing::Level::WARN,
        "error" => tracing::Level::ERROR,
        _ => return None,
    };
    let message = match fields.remove("@message") {
        Some(Value::String(message)) => message,
        _ => String::new(),
    };
    if let Some(timestamp) = fields.remove("@timestamp") {
        fields.insert("timestamp".into(), timestamp);
    }
    let fields = fields.into_iter().take(LOG_FIELDS_MAX).collect();
    Some(Some(Line { level, message, fields }))
}

/// The next line without its end; `None` at the end. What is longer than the bound is cut and the rest of it skipped.
pub(super) async fn next_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    bytes_max: usize,
) -> io::Result<Option<BoundedLine>> {
    let (mut kept, mut is_cut) = (Vec::new(), false);
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            let some = !kept.is_empty() || is_cut;
            return Ok(some.then(|| BoundedLine::new(&kept, is_cut)));
        }
        let (used, is_end) = match chunk.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at, true),
            None => (chunk.len(), false),
        };
        let room = bytes_max - kept.len();
        kept.extend_from_slice(&chunk[..used.min(room)]);
        is_cut |= used > room;
        reader.consume(used + usize::from(is_end));
        if is_end {
            return Ok(Some(BoundedLine::new(&kept, is_cut)));
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BoundedLine {
    pub text: String,
    pub is_cut: bool,
}

impl BoundedLine {
    fn new(bytes: &[u8], is_cut: bool) -> Self {
        let text = String::from_utf8_lossy(bytes);
        Self { text: text.trim_end_matches('\r').to_owned(), is_cut }
    }
}

/// A plugin that floods its output must not fill the volume of our log.
#[derive(Debug)]
struct Allowance {
    since: Instant,
    told: u32,
    held_back: u64,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { since: now, told: 0, held_back: 0 }
    }

    /// Whether a line is told now, and how many were held back before it.
    fn line(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.since) >= LOG_WINDOW {
            (self.since, self.told) = (now, 0);
        }
        if self.told == LOG_LINES_MAX {
            self.held_back += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.held_back))
    }
}

/// Copies what a plugin prints into the log until it ends. `subsystem` is SPIRE's name for it: `plugin.program`.
pub(super) async fn log_lines(reader: impl AsyncBufRead, name: String, kind: String, subsystem: String) {
    let mut reader = std::pin::pin!(reader);
    let (mut reading, mut allowance) = (Reading::default(), Allowance::new(Instant::now()));
    while let Ok(Some(line)) = next_line(&mut reader, LOG_LINE_BYTES_MAX).await {
        // Half of a JSON object is none.
        let told = match line.is_cut {
            true => Some(Line { level: tracing::Level::DEBUG, message: line.text, fields: Map::new() }),
            false => reading.line(&line.text),
        };
        let Some(line) = told else { continue };
        let Some(held_back) = allowance.line(Instant::now()) else { continue };
        tell_held_back(held_back, &name, &kind, &subsystem);
        tell(&line, &name, &kind, &subsystem);
    }
    tell_held_back(allowance.held_back, &name, &kind, &subsystem);
}

fn tell_held_back(lines: u64, name: &str, kind: &str, subsystem: &str) {
    if lines > 0 {
        let message = format!("{lines} lines of the plugin were held back: more than {LOG_LINES_MAX} a second");
        tell(&Line { level: tracing::Level::WARN, message, fields: Map::new() }, name, kind, subsystem);
    }
}

/// The fields that only the plugin knows go as one, which the log takes apart.
fn tell(line: &Line, name: &str, kind: &str, subsystem: &str) {
    let fields = match line.fields.is_empty() {
        true => String::new(),
        false => Value::Object(line.fields.clone()).to_string(),
    };
    macro_rules! at {
        ($level:ident) => {
            tracing::$level!(
                external = true,
                plugin_name = name,
                plugin_type = kind,
                subsystem_name = subsystem,
                plugin_log_fields = fields,
                "{}",
                line.message
            )
        };
    }
    match line.level {
        tracing::Level::ERROR => at!(error),
        tracing::Level::WARN => at!(warn),
        tracing::Level::INFO => at!(info),
        _ => at!(debug),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use tokio::io::BufReader;

    use super::*;

    fn read(text: &str) -> Option<Line> {
        Reading::default().line(text)
    }

    #[test]
    fn what_hclog_writes_keeps_its_level_and_fields() {
        let text = r#"{"@level":"warn","@message":"careful","@timestamp":"2026-01-02T03:04:05.000006Z","pid":7}"#;
        let line = read(text).unwrap();
        assert_eq!((line.level, line.message.as_str()), (tracing::Level::WARN, "careful"));
        let fields = json!({"pid": 7, "timestamp": "2026-01-02T03:04:05.000006Z"});
        assert_eq!(Value::Object(line.fields), fields);
        assert_eq!(read(r#"{"@level":"trace","@message":"m"}"#), None);
        for foreign in [r#"{"level":"info"}"#, r#"{"@level":7}"#, r#"{"@level":"loud"}"#, "[1]", "{"] {
            let line = read(foreign).unwrap();
            assert_eq!((line.level, line.message.as_str()), (tracing::Level::DEBUG, foreign));
        }
    }

    #[test]
    fn fields_are_counted() {
        let many: Map<String, Value> = (0..1000).map(|n| (format!("k{n}"), json!(n))).collect();
        let mut many = Value::Object(many);
        many["@level"] = json!("info");
        assert_eq!(read(&many.to_string()).unwrap().fields.len(), LOG_FIELDS_MAX);
    }

    #[test]
    fn other_lines_are_told_by_what_they_begin_with() {
        for (text, level) in [
            ("[INFO] x", tracing::Level::INFO),
            ("[WARN] x", tracing::Level::WARN),
            ("[ERROR] x", tracing::Level::ERROR),
            ("x", tracing::Level::DEBUG),
        ] {
            assert_eq!(read(text).unwrap().level, level, "{text}");
        }
        assert_eq!(read("[TRACE] x"), None);
        let mut reading = Reading::default();
        for text in ["panic: oh", "goroutine 1 [running]:"] {
            assert_eq!(reading.line(text).unwrap().level, tracing::Level::ERROR, "{text}");
        }
    }

    #[test]
    fn a_flood_is_held_back_and_counted() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(begin);
        let told = (0..10 * LOG_LINES_MAX).filter(|_| allowance.line(begin).is_some()).count();
        assert_eq!(told, LOG_LINES_MAX as usize);
        assert_eq!(allowance.line(begin + LOG_WINDOW), Some(u64::from(9 * LOG_LINES_MAX)));
        assert_eq!(allowance.line(begin + LOG_WINDOW), Some(0));
    }

    #[tokio::test]
    async fn lines_are_cut_at_their_bound_and_the_rest_is_skipped() {
        let input = [b"a\r\n".as_slice(), &[b'x'; 100], b"\nlast"].concat();
        // A buffer smaller than a line.
        let mut reader = BufReader::with_capacity(7, input.as_slice());
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut reader, 10).await.unwrap() {
            lines.push((line.text, line.is_cut));
        }
        let expected = [("a", false), ("xxxxxxxxxx", true), ("last", false)];
        assert_eq!(lines, expected.map(|(text, is_cut)| (text.to_owned(), is_cut)));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(text in "\\PC{0,80}") {
            let _ = read(&text);
        }
    }
}
