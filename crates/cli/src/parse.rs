//! Arguments to values, by the rules of Go's `flag` package.

use steeple_config::{DurationError, GoDuration};

use crate::{Flag, Kind, OutputFormat};

/// What is wrong with the arguments, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    #[error("bad flag syntax: {0}")]
    BadSyntax(String),
    #[error("invalid boolean value {value:?} for -{name}: parse error")]
    InvalidBool { name: &'static str, value: String },
    #[error("invalid value {value:?} for flag -{name}: {reason}")]
    InvalidValue { name: &'static str, value: String, reason: String },
    #[error("flag needs an argument: -{0}")]
    NeedsArgument(String),
    #[error("flag provided but not defined: -{0}")]
    NotDefined(String),
}

/// The values of all flags of one command: what was given, otherwise the default.
#[derive(Clone, Debug)]
pub struct Values {
    entries: Vec<Entry>,
    rest: Vec<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    flag: Flag,
    value: Value,
    given: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Bool(bool),
    Duration(GoDuration),
    Int(i64),
    Output(OutputFormat),
    Text(String),
    Texts(Vec<String>),
}

impl Values {
    /// Reads flags up to the first word that is none, or `--`.
    pub fn parse(flags: impl IntoIterator<Item = Flag>, args: &[String]) -> Result<Self, FlagError> {
        let mut values = Self { entries: flags.into_iter().map(Entry::absent).collect(), rest: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                break;
            }
            let Some(body) = flag_body(arg)? else {
                values.rest.push(arg.clone());
                break;
            };
            let (name, inline) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            let format = values.format_given();
            let entry = values.entries.iter_mut().find(|entry| entry.flag.name == name);
            let entry = entry.ok_or_else(|| FlagError::NotDefined(name.to_owned()))?;
            let value = match (inline, entry.flag.kind) {
                (Some(value), _) => value,
                (None, Kind::Bool) => "true".to_owned(),
                (None, _) => args.next().cloned().ok_or_else(|| FlagError::NeedsArgument(name.to_owned()))?,
            };
            // The older names of -output set the same format in SPIRE.
            match format {
                Some(format) if matches!(entry.flag.kind, Kind::Output(_)) && format.name() != value => {
                    let reason = format!("the output format has already been set to {:?}", format.name());
                    return Err(FlagError::InvalidValue { name: entry.flag.name, value, reason });
                }
                _ => entry.set(value)?,
            }
        }
        values.rest.extend(args.cloned());
        Ok(values)
    }

    /// Whether the flag was on the command line.
    pub fn given(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.flag.name == name && entry.given)
    }

    pub fn bool(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Bool(value)) => *value,
            _ => undeclared(name, false),
        }
    }

    pub fn duration(&self, name: &str) -> GoDuration {
        match self.get(name) {
            Some(Value::Duration(value)) => *value,
            _ => undeclared(name, GoDuration::from_nanos(0)),
        }
    }

    pub fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Value::Int(value)) => *value,
            _ => undeclared(name, 0),
        }
    }

    pub fn output(&self, name: &str) -> OutputFormat {
        match self.get(name) {
            Some(Value::Output(value)) => *value,
            _ => undeclared(name, OutputFormat::Pretty),
        }
    }

    fn format_given(&self) -> Option<OutputFormat> {
        self.entries.iter().find_map(|entry| match entry.value {
            Value::Output(format) if entry.given => Some(format),
            _ => None,
        })
    }

    pub fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Value::Text(value)) => value,
            _ => undeclared(name, ""),
        }
    }

    /// `None` when the flag is absent or empty.
    pub fn text_if_any(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    pub fn texts(&self, name: &str) -> &[String] {
        match self.get(name) {
            Some(Value::Texts(value)) => value,
            _ => undeclared(name, &[]),
        }
    }

    /// The words after the flags.
    pub fn rest(&self) -> &[String] {
        &self.rest
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|entry| entry.flag.name == name).map(|entry| &entry.value)
    }
}

impl Entry {
    fn absent(flag: Flag) -> Self {
        let value = match flag.kind {
            Kind::Bool => Value::Bool(false),
            Kind::CommaTexts | Kind::Texts => Value::Texts(Vec::new()),
            Kind::Duration(default) | Kind::ToldDuration(default) => Value::Duration(default),
            Kind::Int(default) => Value::Int(default),
            Kind::Output(default) => Value::Output(default),
            Kind::Text(default) => Value::Text(default.to_owned()),
        };
        Self { flag, value, given: false }
    }

    fn set(&mut self, text: String) -> Result<(), FlagError> {
        let name = self.flag.name;
        let invalid = |reason: String| FlagError::InvalidValue { name, value: text.clone(), reason };
        self.given = true;
        match &mut self.value {
            Value::Bool(value) => {
                *value = parse_bool(&text).ok_or(FlagError::InvalidBool { name, value: text })?;
            }
            Value::Duration(value) => {
                let is_told = matches!(self.flag.kind, Kind::ToldDuration(_));
                let told = |error: DurationError| if is_told { error.to_string() } else { "parse error".to_owned() };
                *value = text.parse().map_err(|error| invalid(told(error)))?;
            }
            Value::Int(value) => *value = parse_int(&text).map_err(|reason| invalid(reason.to_owned()))?,
            Value::Output(value) => {
                *value = text.parse().map_err(|error: crate::output::UnknownFormat| invalid(error.to_string()))?;
            }
            Value::Text(value) => *value = text,
            Value::Texts(values) if self.flag.kind == Kind::CommaTexts => {
                *values = text.split(',').map(str::to_owned).collect();
            }
            Value::Texts(values) => values.push(text),
        }
        Ok(())
    }
}

/// What stands after one or two dashes, or `None` for a word that is not a flag.
fn flag_body(arg: &str) -> Result<Option<&str>, FlagError> {
    let Some(body) = arg.strip_prefix('-').filter(|body| !body.is_empty()) else {
        return Ok(None);
    };
    let body = body.strip_prefix('-').unwrap_or(body);
    if body.is_empty() || body.starts_with('-') || body.starts_with('=') {
        return Err(FlagError::BadSyntax(arg.to_owned()));
    }
    Ok(Some(body))
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn parse_int(text: &str) -> Result<i64, &'static str> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (lower.as_str(), 10),
    };
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return Err("parse error");
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
        _ => "parse error",
    })
}

/// Asking for a flag that the command's table lacks is a mistake in this program, which any test of the command shows.
fn undeclared<T>(name: &str, default: T) -> T {
    debug_assert!(false, "the command does not declare -{name} with this kind");
    default
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: [Flag; 9] = [
        Flag::bool("admin", ""),
        Flag::comma_texts("audience", ""),
        Flag::duration("ttl", GoDuration::from_secs(5), ""),
        Flag::told_duration("timeout", GoDuration::from_secs(5), ""),
        Flag::int("count", 7, ""),
        Flag::text_or("mode", "restrict", ""),
        Flag::texts("dns", ""),
        crate::OUTPUT,
        Flag { name: "format", kind: Kind::Output(OutputFormat::Pretty), help: "" },
    ];

    fn parse(line: &str) -> Result<Values, FlagError> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Values::parse(FLAGS, &args)
    }

    #[test]
    fn defaults_hold_when_nothing_is_given() {
        let values = parse("").unwrap();
        assert_eq!((values.bool("admin"), values.int("count"), values.text("mode")), (false, 7, "restrict"));
        assert_eq!(values.duration("ttl"), GoDuration::from_secs(5));
        assert!(values.texts("dns").is_empty() && !values.given("mode"));
    }

    #[test]
    fn the_output_format_is_set_once() {
        assert_eq!(parse("-output json -output json").unwrap().output("output"), OutputFormat::Json);
        let refused = parse("-output json -output pretty").unwrap_err().to_string();
        let reason = "the output format has already been set to \"json\"";
        assert_eq!(refused, format!("invalid value \"pretty\" for flag -output: {reason}"));
        let refused = parse("-format json -output pretty").unwrap_err().to_string();
        assert_eq!(refused, format!("invalid value \"pretty\" for flag -output: {reason}"));
        assert_eq!(parse("-format json -output json").unwrap().output("output"), OutputFormat::Json);
    }

    #[test]
    fn every_spelling_of_go() {
        let values =
            parse("-admin --count 9 -mode=delete --dns=a -dns b -audience x,y -ttl 1m30s rest -count 3").unwrap();
        assert!(values.bool("admin") && values.given("mode"));
        assert_eq!((values.int("count"), values.text("mode")), (9, "delete"));
        assert_eq!(values.texts("dns"), ["a", "b"]);
        assert_eq!(values.texts("audience"), ["x", "y"]);
        assert_eq!(values.duration("ttl"), GoDuration::from_secs(90));
        assert_eq!(values.rest(), ["rest", "-count", "3"]);
    }

    #[test]
    fn a_bool_takes_its_value_only_after_an_equals_sign() {
        let values = parse("-admin=false x").unwrap();
        assert!(!values.bool("admin") && values.given("admin"));
        assert_eq!(parse("-admin false").unwrap().rest(), ["false"]);
    }

    #[test]
    fn a_value_may_look_like_a_flag_and_two_dashes_end_flags() {
        assert_eq!(parse("-count -1").unwrap().int("count"), -1);
        assert_eq!(parse("-- -admin").unwrap().rest(), ["-admin"]);
        assert_eq!(parse("-").unwrap().rest(), ["-"]);
    }

    #[test]
    fn errors_are_worded_as_go_words_them() {
        let cases = [
            ("-nonsense", "flag provided but not defined: -nonsense"),
            ("-count", "flag needs an argument: -count"),
            ("---count", "bad flag syntax: ---count"),
            ("-=1", "bad flag syntax: -=1"),
            ("-count x", "invalid value \"x\" for flag -count: parse error"),
            (
                "-count 99999999999999999999",
                "invalid value \"99999999999999999999\" for flag -count: value out of range",
            ),
            ("-timeout x", "invalid value \"x\" for flag -timeout: time: invalid duration \"x\""),
            ("-ttl soon", "invalid value \"soon\" for flag -ttl: parse error"),
            ("-admin=maybe", "invalid boolean value \"maybe\" for -admin: parse error"),
            (
                "-output yaml",
                "invalid value \"yaml\" for flag -output: bad formatter flag: unknown format option: \"yaml\"",
            ),
        ];
        for (line, text) in cases {
            assert_eq!(parse(line).unwrap_err().to_string(), text, "{line}");
        }
    }

    #[test]
    fn integers_have_the_prefixes_of_go() {
        for (text, value) in [("0x10", 16), ("0o17", 15), ("017", 15), ("0b11", 3), ("-0x1", -1), ("+5", 5), ("0", 0)] {
            assert_eq!(parse_int(text), Ok(value), "{text}");
        }
        for text in ["", "-", "+-1", "--1", "0x", "1 "] {
            assert!(parse_int(text).is_err(), "{text}");
        }
    }
}
