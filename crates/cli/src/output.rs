//! `-output`: for people or for scripts.

use std::str::FromStr;

use crate::{Flag, Kind};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    Json,
    #[default]
    Pretty,
}

impl OutputFormat {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Pretty => "pretty",
        }
    }
}

/// The flag that every command with a result has.
pub const OUTPUT: Flag =
    Flag { name: "output", kind: Kind::Output(OutputFormat::Pretty), help: "How to print the result: pretty or json" };

/// Worded as SPIRE words it, because the text reaches users through Go's flag error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad formatter flag: unknown format option: {0:?}")]
pub struct UnknownFormat(String);

impl FromStr for OutputFormat {
    type Err = UnknownFormat;
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text.to_lowercase().as_str() {
            "json" => Ok(Self::Json),
            "pretty" | "prettyprint" => Ok(Self::Pretty),
            _ => Err(UnknownFormat(text.to_owned())),
        }
    }
}
