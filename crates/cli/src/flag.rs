//! Flags as data.

use steeple_config::GoDuration;

use crate::OutputFormat;

/// One flag of a command. Flags are constants in the command tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Without a dash.
    pub name: &'static str,
    pub kind: Kind,
    /// One sentence for help, manual pages and completions.
    pub help: &'static str,
}

/// What a flag takes, with the value it has when it is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Present or `=true`; a following word is never its value (Go's rule).
    Bool,
    /// One value, split at commas.
    CommaTexts,
    /// A Go duration such as `720h` or `1m30s`.
    Duration(GoDuration),
    /// The same, and what is wrong with one is told (SPIRE's own kind of flag).
    ToldDuration(GoDuration),
    /// Decimal, or with Go's prefixes `0x`, `0o`, `0b`.
    Int(i64),
    Output(OutputFormat),
    Text(&'static str),
    /// Repeatable: each occurrence adds a value.
    Texts,
}

impl Flag {
    pub const fn bool(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Bool, help }
    }

    pub const fn comma_texts(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::CommaTexts, help }
    }

    pub const fn duration(name: &'static str, default: GoDuration, help: &'static str) -> Self {
        Self { name, kind: Kind::Duration(default), help }
    }

    pub const fn told_duration(name: &'static str, default: GoDuration, help: &'static str) -> Self {
        Self { name, kind: Kind::ToldDuration(default), help }
    }

    pub const fn int(name: &'static str, default: i64, help: &'static str) -> Self {
        Self { name, kind: Kind::Int(default), help }
    }

    pub const fn text(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Text(""), help }
    }

    pub const fn text_or(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Text(default), help }
    }

    pub const fn texts(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Texts, help }
    }
}
